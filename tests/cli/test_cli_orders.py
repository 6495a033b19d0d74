"""`request add`: a callback from the shell."""

from __future__ import annotations

import pytest
from command_line import SUBSCRIBER, CommandLine

OTHER = "420777000111"


def _add(*words: str) -> tuple[str, ...]:
    return ("request", "add", "--account", SUBSCRIBER, "--from", SUBSCRIBER, *words)


def test_a_callback_between_two_numbers_is_queued(shop: CommandLine) -> None:
    request_id = shop.ok(*_add("--to", f"+{OTHER}", "--set", "languages=fr")).out.split()[1]
    shown = shop.ok("request", "show", request_id, "--json").json
    assert (shown["state"], shown["triggered_by"], shown["account"]) == ("queued", "cli", SUBSCRIBER)
    assert (shown["leg_a_number"], shown["destination"]) == (SUBSCRIBER, OTHER)
    assert shown["options"] == {"languages": "fr"}


def test_without_a_second_number_it_is_asked_for(shop: CommandLine) -> None:
    request_id = shop.ok(*_add()).out.split()[1]
    assert shop.ok("request", "show", request_id, "--json").json["destination"] == ""


def test_the_same_key_makes_one_callback(shop: CommandLine) -> None:
    shop.ok(*_add("--to", OTHER, "--key", "order-7"))
    shop.refused(*_add("--to", OTHER, "--key", "order-7"))
    assert len(shop.ok("request", "list", "--json").json) == 1


def test_the_account_may_be_named_by_an_alias(shop: CommandLine) -> None:
    shop.ok("request", "add", "--account", "420777111222", "--from", SUBSCRIBER, "--to", OTHER)


def test_retry_keeps_the_destination(shop: CommandLine) -> None:
    first = shop.ok(*_add("--to", OTHER, "--set", "dedupe_window_s=0")).out.split()[1]
    shop.ok("request", "cancel", first)
    second = shop.ok("request", "retry", first).out.split()[1]
    assert shop.ok("request", "show", second, "--json").json["destination"] == OTHER


@pytest.mark.parametrize(
    ("words",                                                             "says"),
    [
        (("--account", "nobody", "--from", SUBSCRIBER),                   "unknown account 'nobody'"),
        ((*_add("--to", "12")[2:],),                                      "'12' is not a phone number"),
        (("--account", SUBSCRIBER, "--from", "x"),                        "'x' is not a phone number"),
        ((*_add("--to", SUBSCRIBER)[2:],),                                "the same"),
        ((*_add("--to", "33123456789")[2:],),                             "not sell calls to the second number"),
        (("--account", SUBSCRIBER, "--from", "33123456789"),              "calls to the number to call first"),
        ((*_add("--to", "420800123456")[2:],),                            "itself an access number"),
        ((*_add("--to", OTHER, "--set", "moon=1")[2:],),                  "unknown option 'moon'"),
        ((*_add("--to", OTHER, "--set", "languages=xx")[2:],),            "no prompts in language 'xx'"),
        ((*_add("--to", OTHER, "--set", "talk_limit_s=1")[2:],),          "10 to 86400"),
    ],
)  # fmt: skip
def test_what_cannot_be_called_is_refused_in_a_sentence(
    shop: CommandLine, words: tuple[str, ...], says: str
) -> None:
    result = shop("request", "add", *words)
    assert result.code == 2
    assert says in result.err
    assert not shop.ok("request", "list", "--state", "queued", "--json").json
