"""`why`: the story of a callback, or of a number, on one time line."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import ACCESS_NUMBER, SUBSCRIBER, CommandLine

from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.words import Refusal


def story(shop: CommandLine, *words: str) -> list[str]:
    """What happened, without the times."""
    return [event["what"] for one in shop.ok("why", *words, "--json").json for event in one["events"]]


def test_a_callback_from_the_missed_call_to_the_charge(shop: CommandLine, called: str) -> None:
    told = story(shop, called)
    # The legs of this callback ended long before it was asked for, by their own times. It begins with who asked.
    assert [said.partition(" ")[0] for said in told[:2]] == ["missed", "accepted:"]
    for said in (
        f"missed call from +{SUBSCRIBER} to {ACCESS_NUMBER}",
        f"accepted: {SUBSCRIBER} is to be called, account {SUBSCRIBER} pays for leg A",
        f"leg A: {SUBSCRIBER} is called, charged to {SUBSCRIBER} at the rate of prefix 420",
        f"leg A: at most 0.20 USD are held of {SUBSCRIBER}",
        "leg A: answered",
        "said to leg A: Your balance is ten dollars",
        "leg A: ended, 61.0 s after the answer (cause 16, normal clearing)",
        "leg A: 61 s are charged, 0.122 USD (transfer 2)",
        "leg B: ended, no_answer (cause 16, normal clearing)",
        "leg B: costs nothing, what was held is free again",
        "ended: leg A did not answer (no_answer); what to do: nothing, or `attempts_no_answer`",
    ):
        assert said in told, (said, told)
    assert story(shop, SUBSCRIBER) == story(shop, f"+{SUBSCRIBER}") == story(shop, f"{called}-b1") == told
    lines = shop.ok("why", called).out.splitlines()
    assert lines[0] == f"callback {called}"
    assert max(map(len, lines)) <= 80


def test_a_charge_that_was_taken_back(shop: CommandLine, called: str) -> None:
    shop.ok("ledger", "reverse", "2", "--reason", "bad line")
    [said] = [event for event in story(shop, called) if "taken back" in event]
    assert said.startswith("leg A: the charge is taken back by transfer 3, ")
    assert said.endswith(": bad line")


def test_a_refused_call_says_why_and_what_to_do(shop: CommandLine) -> None:
    with shop.stores() as stores:
        stores.requests.refuse(
            CallbackRequest("x", "ani", "442071234567", ACCESS_NUMBER), Refusal.UNKNOWN_ACCOUNT
        )
    assert story(shop, "442071234567") == [
        f"missed call from 442071234567 to {ACCESS_NUMBER}",
        "refused: no account has this number as its id or alias (unknown_account); what to do: compare `ani` with "
        "the accounts, see `access-number test`",
    ]


def test_who_asked_without_a_call_is_told_too(shop: CommandLine) -> None:
    with shop.stores() as stores:
        for trigger, reason in (("web", Refusal.LINK_USED_UP), ("email", Refusal.WRONG_LOGIN)):
            asked = CallbackRequest(trigger, trigger, "442071234567", "", "420777111222", f"of-{trigger}")  # type: ignore[arg-type]
            stores.requests.refuse(asked, reason)
    told = story(shop, "442071234567")
    assert "a callback was requested by web through instance of-web" in told
    assert "a callback was requested by e-mail through instance of-email" in told
    assert sorted(said.partition("; ")[0].rpartition(" ")[2] for said in told if said.startswith("refused")) == [
        "(link_used_up)", "(wrong_login)",
    ]  # fmt: skip
    shop.ok("request", "add", "--account", SUBSCRIBER, "--from", SUBSCRIBER, "--to", "420777111222")
    assert "a callback was requested on the command line" in story(shop, SUBSCRIBER)


def test_a_callback_that_waits(shop: CommandLine, queued: str) -> None:
    assert story(shop, queued)[-1].startswith("it waits, due at 20")


def test_what_the_journal_of_asterisk_says(
    shop: CommandLine, called: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop.stores() as stores:
        at_s = stores.requests.get(called).created_at_us // 1_000_000
    journal = tmp_path / "cel.csv"
    leg = f"{called}-a1"
    journal.write_text(
        f'"CHAN_START","{at_s}.1","{leg}","{leg}",""\n"ANSWER","{at_s + 1}.2","{leg}","{leg}",""\n'
        f'"HANGUP","{at_s + 9}.5","{leg}","{leg}","{{""hangupcause"":16}}"\n'
    )
    monkeypatch.setenv("STASIS_CALLBACK_ASTERISK__CEL_PATH", str(journal))
    assert story(shop, called)[-2:] == [
        "leg A: the CEL journal has the answer",
        "leg A: the CEL journal has the hang-up, cause 16",
    ]
    assert not any("journal" in said for said in story(shop, called, "--no-journal"))


def test_what_is_not_known(shop: CommandLine) -> None:
    assert "access-number test" in shop.refused("why", "442071234567")
    assert "neither a callback nor a phone number" in shop.refused("why", "nothing")
