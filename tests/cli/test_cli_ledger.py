"""The books from the shell: proven whole or in part, kept elsewhere, and what is left open brought to its end."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from command_line import SUBSCRIBER, CommandLine
from test_cli_bad_input import CONTROL, LONG

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.settings import host_name

HERE = host_name()
IN_ORDER = "the ledger is consistent: no discrepancies\n"
LONG_AGO = f"lease_until_us = {(1_700_000_100 + 30) * US_PER_S}"


@contextmanager
def unlocked(shop: CommandLine, table: str) -> Iterator[None]:
    """Within the block rows of an append-only table can be changed."""
    if shop.url.startswith("postgresql:"):
        shop.sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        shop.sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        return
    with closing(sqlite3.connect(shop.url.removeprefix("sqlite:///"))) as shell:
        [(made,)] = shell.execute(
            f"SELECT sql FROM sqlite_master WHERE name = '{table}_no_update'"
        ).fetchall()
    shop.sql(f"DROP TRIGGER {table}_no_update")
    yield
    shop.sql(made)


# --- proving ------------------------------------------------------------------------------------------------


def test_the_books_are_proven_in_part_and_whole(shop: CommandLine, called: str) -> None:
    assert shop.ok("ledger", "verify").out == IN_ORDER
    assert shop.ok("ledger", "verify", "--whole").out == IN_ORDER
    assert shop.ok("ledger", "verify", "--whole", "--json").json == {"ok": True, "findings": []}


def test_what_was_changed_by_hand_is_told(shop: CommandLine, called: str) -> None:
    with unlocked(shop, "xdr"):
        shop.sql(f"UPDATE xdr SET outcome = 'busy' WHERE leg_id = '{called}-b1'")
    sentence = f"leg {called}-b1: its xDR, the leg or its hold does not match its seal"
    result = shop("ledger", "verify", "--whole")
    assert (result.code, result.out) == (1, sentence + "\n")
    assert shop("ledger", "verify", "--json").json == {"ok": False, "findings": [sentence]}


def test_a_trigger_that_is_gone_is_told(shop: CommandLine, called: str) -> None:
    assert shop.ok("db", "status", "--json").json["wrong_triggers"] == []
    shop.sql(f"DROP TRIGGER xdr_no_delete{' ON xdr' if shop.url.startswith('postgresql:') else ''}")
    sentence = "trigger xdr_no_delete of table xdr is missing"
    status = shop("db", "status")
    assert (status.code, sentence in status.out) == (1, True)
    assert shop("ledger", "verify").out == sentence + "\n"
    assert f"ledger: {sentence}" in shop("doctor").out


@pytest.mark.sqlite
def test_a_balance_that_is_no_whole_number_is_told_and_shown(shop: CommandLine, called: str) -> None:
    shop.sql("UPDATE book SET balance_micros = balance_micros + 0.25 WHERE NOT house")
    result = shop("ledger", "verify")
    assert (result.code, result.err) == (1, "")
    assert f"account:{SUBSCRIBER}: balance_micros is 9878000.25, which is no whole number" in result.out
    assert "9878000.25 (no whole number)" in shop.ok("account", "show", SUBSCRIBER).out


def test_a_checkpoint_is_printed_or_written_and_the_books_follow_from_it(
    shop: CommandLine, called: str, tmp_path: Path
) -> None:
    printed = shop.ok("ledger", "checkpoint").json
    assert (printed["format"], printed["links"], printed["balances"]) == (
        "stasis-callback checkpoint 1",
        4,
        {"USD": "9.878"},
    )
    [book] = printed["books"]
    assert (book["book"], book["links"], book["balance"]) == (f"account:{SUBSCRIBER}", 4, "9.878 USD")
    file = tmp_path / "kept.json"
    said = shop.ok("ledger", "checkpoint", "--out", file).out
    assert said == f"{file}: 4 links of 1 books, {printed['digest']}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["books"] == printed["books"]
    assert shop.ok("ledger", "verify", "--checkpoint", file).out == IN_ORDER
    shop.ok("account", "topup", SUBSCRIBER, "1", "--key", "later")
    assert shop.ok("ledger", "verify", "--checkpoint", file).out == IN_ORDER


def test_of_books_that_are_not_in_order_there_is_no_checkpoint(shop: CommandLine, tmp_path: Path) -> None:
    shop.sql(f"UPDATE book SET balance_micros = 1 WHERE name = 'account:{SUBSCRIBER}'")
    file = tmp_path / "kept.json"
    result = shop("ledger", "checkpoint", "--out", file)
    assert (result.code, result.out) == (1, "")
    assert "the balance is 0.000001, its entries sum to 10.00" in result.err
    assert not file.exists()


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "{}", '{"format": 1, "books": [], "digest": ""}', "[" * 9999, "\x00"]
)
def test_what_is_no_checkpoint_is_refused(shop: CommandLine, tmp_path: Path, text: str) -> None:
    file = tmp_path / "kept.json"
    file.write_text(text)
    assert "not a checkpoint" in shop.refused("ledger", "verify", "--checkpoint", file)


def test_a_checkpoint_that_was_changed_is_refused(shop: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    shop.ok("ledger", "checkpoint", "--out", file)
    file.write_text(file.read_text().replace("10.00 USD", "11.00 USD"))
    assert "the checkpoint is damaged" in shop.refused("ledger", "verify", "--checkpoint", file)


def test_a_checkpoint_that_cannot_be_read_or_written_is_refused(shop: CommandLine, tmp_path: Path) -> None:
    assert "cannot be read" in shop.refused("ledger", "verify", "--checkpoint", tmp_path / "nothing.json")
    assert "cannot be read" in shop.refused("ledger", "verify", "--checkpoint", tmp_path)
    (tmp_path / "there.json").write_text("")
    assert "already exists" in shop.refused("ledger", "checkpoint", "--out", tmp_path / "there.json")
    assert "cannot be written" in shop.refused(
        "ledger", "checkpoint", "--out", tmp_path / "no" / "where.json"
    )


# --- repair -------------------------------------------------------------------------------------------------


def repair(shop: CommandLine, what: str, reason: str = "left behind") -> str:
    return shop.ok("ledger", "repair", "--fix", what, "--reason", reason).out


def listed(shop: CommandLine) -> list[dict[str, object]]:
    return list(shop.ok("ledger", "repair", "--json").json)


def xdr(shop: CommandLine, leg: str) -> dict[str, object]:
    return next(row for row in shop.ok("xdr", "list", "--json").json if row["leg_id"] == leg)


def held(shop: CommandLine) -> str:
    return str(shop.ok("account", "show", SUBSCRIBER, "--json").json["held"])


@pytest.fixture
def over(shop: CommandLine, dialing: str) -> str:
    """A callback is over, but its leg A was left open, with 0.20 held."""
    shop.sql("UPDATE leg SET answered_at_us = NULL, state = 'dialing'")
    shop.sql(f"UPDATE request SET state = 'done', outcome = 'completed', finished_at_us = 5, {LONG_AGO}")
    return dialing


def test_where_nothing_is_left_there_is_nothing_to_mend(shop: CommandLine, called: str) -> None:
    assert shop("ledger", "repair").err == "none\n"
    assert listed(shop) == []
    assert shop.ok("ledger", "repair", "--fix", "all", "--reason", "tidy").out == ""
    assert shop.ok("ledger", "repair", "--done", "--json").json == []


def test_a_leg_that_was_left_open_is_listed_and_settled_for_nothing(shop: CommandLine, over: str) -> None:
    (row,) = listed(shop)
    assert (row["id"], row["node"], row["account"], row["held"], row["currency"]) == (
        f"{over}-a1",
        HERE,
        SUBSCRIBER,
        "0.20",
        "USD",
    )
    assert row["what"] == "the leg is open, although its callback is done; it was never answered"
    assert f"{over}-a1" in shop.ok("ledger", "repair").out
    assert shop("ledger", "verify").out == f"leg {over}-a1 is not settled although its callback has ended\n"

    said = repair(shop, f"{over}-a1", "the call of Monday")
    assert said == f"leg {over}-a1 is settled with 0.00 USD: it was never answered\n"
    assert (held(shop), listed(shop)) == ("0.00", [])
    assert shop.ok("ledger", "verify", "--whole").out == IN_ORDER
    (done,) = shop.ok("ledger", "repair", "--done", "--json").json
    (noted,) = shop.ok("audit", "list", "--noun", "repair", "--json").json
    assert (noted["name"], noted["operator"]) == (done["id"], done["operator"])
    assert noted["after"] == {"done": done["done"], "reason": "the call of Monday"}
    assert (done["id"], done["reason"]) == (f"{over}-a1", "the call of Monday")
    assert done["operator"]
    assert "Monday" in shop.ok("ledger", "repair", "--done").out


def test_funds_that_are_held_for_no_leg_are_listed_and_given_back(shop: CommandLine, called: str) -> None:
    postgresql = shop.url.startswith("postgresql:")
    hold = """INSERT INTO hold (leg_id, book_id, amount_micros, state, created_at_us)
        SELECT 'none', id, 3000000, 'open', 1700000000000000 FROM book WHERE NOT house"""
    more = "UPDATE book SET held_micros = held_micros + 3000000 WHERE NOT house"
    if postgresql:
        with psycopg.connect(shop.url) as line:
            for statement in ("SET session_replication_role = replica", hold, more):
                line.execute(statement)
    else:
        with closing(sqlite3.connect(shop.url.removeprefix("sqlite:///"))) as shell:
            shell.execute(hold)
            shell.execute(more)
            shell.commit()
    found = "funds are held for leg none, which does not exist: see `stasis-callback ledger repair`\n"
    assert shop("ledger", "verify").out == found
    (row,) = listed(shop)
    assert (row["id"], row["account"], row["held"], row["what"]) == (
        "none",
        SUBSCRIBER,
        "3.00",
        "funds are held for a leg that does not exist",
    )

    said = repair(shop, "none", "nobody knows where it came from")
    assert said == "3.00 USD held for leg none are given back: there is no such leg\n"
    assert (held(shop), listed(shop)) == ("0.00", [])
    assert shop.ok("ledger", "verify", "--whole").out == IN_ORDER
    (done,) = shop.ok("ledger", "repair", "--done", "--json").json
    assert (done["id"], done["reason"]) == ("none", "nobody knows where it came from")
    again = shop("ledger", "repair", "--fix", "none", "--reason", "again")
    assert (again.code, "not a leg or callback that needs repair" in again.err) == (2, True)


def test_to_mend_again_changes_nothing(shop: CommandLine, over: str) -> None:
    repair(shop, f"{over}-a1")
    words = ("ledger", "repair", "--fix", f"{over}-a1", "--reason", "again")
    assert "not a leg or callback" in shop.refused(*words)
    assert repair(shop, "all") == ""


def test_an_answered_leg_is_charged_until_its_node_was_last_known_to_live(
    shop: CommandLine, over: str
) -> None:
    """The doubt is the subscriber's: nobody knows of the time after that."""
    shop.sql(
        f"UPDATE leg SET answered_at_us = {1_700_000_040 * US_PER_S}, state = 'answered', answered_mark = NULL"
    )
    shop.sql(f"UPDATE request SET finished_at_us = {1_700_000_900 * US_PER_S}")
    assert "it was answered" in str(listed(shop)[0]["what"])
    assert repair(shop, "all") == f"leg {over}-a1 is settled with 0.12 USD: 60.000 s, source estimated\n"
    assert (xdr(shop, f"{over}-a1")["source"], held(shop)) == ("estimated", "0.00")
    assert shop.ok("ledger", "verify", "--whole").out == IN_ORDER


def test_an_answered_leg_is_not_charged_for_the_time_after_its_callback_was_over(
    shop: CommandLine, over: str
) -> None:
    shop.sql(
        f"UPDATE leg SET answered_at_us = {1_700_000_040 * US_PER_S}, state = 'answered', answered_mark = NULL"
    )
    shop.sql(f"UPDATE request SET finished_at_us = {1_700_000_050 * US_PER_S}")
    assert "10.000 s, source estimated" in repair(shop, "all")


def test_what_the_billing_journal_knows_is_charged_exactly(
    shop: CommandLine, over: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, leg = tmp_path / "cel.csv", f"{over}-a1"
    monkeypatch.setenv("STASIS_CALLBACK_ASTERISK__CEL_PATH", str(journal))
    start_s = Clock().now_us() // US_PER_S
    lines = [("CHAN_START", start_s, ""), ("ANSWER", start_s + 2, ""), ("HANGUP", start_s + 9, "16")]
    journal.write_text(
        "".join(f'"{kind}","{at}.000000","{leg}","{leg}","{extra}"\n' for kind, at, extra in lines)
    )
    assert repair(shop, "all") == f"leg {leg} is settled with 0.014 USD: 7.000 s, source cel\n"


def test_a_leg_that_counts_as_settled_but_was_never_charged_is_charged(shop: CommandLine, over: str) -> None:
    shop.sql("UPDATE leg SET state = 'settled'")
    assert (
        listed(shop)[0]["what"]
        == "the leg is marked as settled, but was never charged; it was never answered"
    )
    assert "settled with 0.00 USD" in repair(shop, f"{over}-a1")
    assert shop.ok("ledger", "verify", "--whole").out == IN_ORDER


def test_a_callback_of_a_node_that_is_long_dead_is_ended(shop: CommandLine, dialing: str) -> None:
    assert listed(shop) == [], "it was seen a moment ago, and may come back"
    shop.sql(f"UPDATE request SET {LONG_AGO}")
    shop.sql("UPDATE node SET seen_at_us = 5")
    (row,) = listed(shop)
    assert (row["id"], row["node"]) == (dialing, HERE)
    assert row["what"] == "the callback is dialing on a dead node"
    assert repair(shop, dialing) == f"request {dialing} has ended: interrupted\n"
    assert (held(shop), listed(shop)) == ("0.00", [])
    assert shop.ok("ledger", "verify", "--whole").out == IN_ORDER
    assert shop.ok("node", "history", "--json").json[0]["event"] == "repaired"
    assert "repaired" in shop.ok("node", "history").out


@pytest.fixture
def alive(shop: CommandLine, dialing: str) -> Iterator[None]:
    """The node that works on the callback lives."""
    from stasis_callback.store.database.name_locks import name_lock

    lock = name_lock(shop.url, f"node-{HERE}", "other")
    assert lock.take()
    yield
    lock.release()


def test_a_call_that_a_living_node_works_on_is_never_touched(
    shop: CommandLine, dialing: str, alive: None
) -> None:
    shop.sql(f"UPDATE request SET {LONG_AGO}")
    shop.sql("UPDATE node SET seen_at_us = 5")
    assert listed(shop) == []
    assert repair(shop, "all") == ""
    for what in (dialing, f"{dialing}-a1"):
        assert "not a leg or callback" in shop.refused("ledger", "repair", "--fix", what, "--reason", "x")


def test_what_cannot_be_mended_stops_nothing_else(shop: CommandLine, over: str) -> None:
    """A hold that was closed by hand, say: the leg is settled no more, and `ledger verify` says so."""
    shop.sql("UPDATE hold SET amount_micros = amount_micros + 1")
    words = ("ledger", "repair", "--fix", "all", "--reason", "x")
    result = shop(*words)
    assert result.code == 1
    assert "cannot be repaired" in result.err
    assert "Traceback" not in result.err
    assert "ledger verify" in result.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--fix", "all"],                                      "needs both --fix ID"),
        (["--reason", "x"],                                     "needs both --fix ID"),
        (["--fix", "all", "--reason", "x", "--done"],           "needs both --fix ID"),
        (["--fix", "all", "--reason", ""],                      "the reason is empty"),
        (["--fix", "all", "--reason", "   "],                   "the reason is empty"),
        (["--fix", "all", "--reason", CONTROL],                 "printable"),
        (["--fix", "all", "--reason", LONG],                    "printable"),
        (["--fix", "nothing", "--reason", "x"],                 "'nothing' is not a leg or callback that needs"),
        (["--fix", "", "--reason", "x"],                        "'' is not a leg or callback that needs"),
        (["--fix", "'; DROP TABLE leg", "--reason", "x"],       "needs repair"),
    ],
)  # fmt: skip
def test_a_repair_that_is_not_clear_is_refused(
    shop: CommandLine, over: str, words: list[str], sentence: str
) -> None:
    assert sentence in shop.refused("ledger", "repair", *words)
