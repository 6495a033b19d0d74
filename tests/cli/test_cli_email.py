"""`email`: instances, senders, tokens, the pipe's exit codes; what `doctor` says of them."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest
from command_line import SUBSCRIBER, CommandLine

ADDRESS = "callback@calls.example"


def test_instances_are_added_listed_shown_changed_and_removed(shop: CommandLine) -> None:
    added = shop.ok("email", "add", "Callback@Calls.example", "--set", "limit_number=2/60").out
    assert "email.authserv_id is not set" in added
    assert shop.ok("email", "list", "--json").json == [
        {"address": ADDRESS, "enabled": True, "options": {"limit_number": "2/60"}}
    ]
    shown = shop.ok("email", "show", ADDRESS, "--json").json
    assert (shown["options"]["policy"], shown["options"]["reply"]) == ("authenticated", "on")
    assert shown["options"]["access_code"] == "EMAILCALLBACK"
    shop.ok("email", "set", ADDRESS, "--set", "talk_limit_s=300", "--set", "limit_number=", "--disabled")
    shown = shop.ok("email", "show", ADDRESS, "--json").json
    assert (shown["enabled"], shown["options"]["limit_number"]) == (False, "10/3600")
    assert "require_registered" in shop.ok("email", "show", ADDRESS).out
    shop.ok("email", "remove", ADDRESS)
    assert shop.ok("email", "list", "--json").json == []
    names = {row["name"] for row in shop.ok("email", "options", "--json").json}
    assert {"policy", "limit_logins", "talk_limit_s"} <= names
    assert not {"ask_password", "reject_cause"} & names


def test_instances_of_gateways_are_added_shown_changed_and_removed(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = shop.ok("message", "add", "sms", "--set", "limit_number=2/60").out
    assert "added: http://127.0.0.1:8080/api/v1/messages/sms" in added
    assert "web.enabled is not set" in added
    assert shop.ok("message", "list", "--json").json == [
        {"name": "sms", "enabled": True, "options": {"limit_number": "2/60"}}
    ]
    shown = shop.ok("message", "show", "sms", "--json").json["options"]
    assert (shown["format"], shown["reply"], shown["access_code"]) == ("standard", "on", "MESSAGECALLBACK")
    warned = shop.ok("message", "set", "sms", "--set", "format=twilio", "--disabled").out
    assert "web.twilio_auth_token is not set" in warned
    assert "web.twilio_auth_token" in shop.ok("message", "secret", "sms").out
    shop.ok("message", "set", "sms", "--set", "format=", "--enabled")
    monkeypatch.setenv("STASIS_CALLBACK_WEB__SECRET", "short")
    assert "web.secret" in shop.refused("message", "secret", "sms")
    monkeypatch.setenv("STASIS_CALLBACK_WEB__SECRET", "a secret of tests, long enough to be one")
    first = shop.ok("message", "secret", "sms").out.split()
    shop.ok("message", "set", "sms", "--set", "secret_number=2")
    second = shop.ok("message", "secret", "sms").out.split()
    assert first[0] == second[0]
    assert first[1].startswith("whsec_")
    assert first[1] != second[1]
    shop.ok("message", "remove", "sms")
    for words, says in (
        (("set", "sms", "--disabled"), "unknown message instance"),
        (("secret", "sms"), "unknown message instance"),
        (("add", "SMS"), "small letters"),
        (("add", "sms", "--set", "format=telex"), "standard, twilio"),
        (("add", "sms", "--set", "policy=none"), "message options"),
        (("add", "sms", "--set", "time_zone=Mars"), "not a time zone"),
        (("add", "sms", "--set", "opening_hours=always"), "not a period"),
        (("add", "sms", "--set", "webhooks=nobody"), "unknown web instance"),
    ):
        assert says in shop.refused("message", *words)


@pytest.mark.parametrize(
    ("words",                                                              "says"),
    [
        (("add", "nobody"),                                                "its address in small letters"),
        (("add", "a b@calls.example"),                                     "its address in small letters"),
        (("add", "a@calls"),                                               "its address in small letters"),
        (("add", "a@b.example", "--set", "policy=believe"),                "write one of authenticated, dkim, none"),
        (("add", "a@b.example", "--set", "policy=none", "--set", "reply=on"), "reply=on needs policy=authenticated"),
        (("add", "a@b.example", "--set", "type=simple"),                   "unknown option 'type'"),
        (("add", "a@b.example", "--set", "languages=xx"),                  "no prompts in language 'xx'"),
        (("add", "a@b.example", "--set", "replies_per_hour=0"),            "1 to 1000"),
        (("add", ADDRESS),                                                 "already exists"),
        (("set", ADDRESS),                                                 "nothing to change"),
        (("set", "x@b.example", "--disabled"),                             "see `stasis-callback email list`"),
        (("show", "x@b.example"),                                          "see `stasis-callback email list`"),
        (("remove", "x@b.example"),                                        "see `stasis-callback email list`"),
        (("add-sender", "999", "a@b.example"),                             "unknown account '999'"),
        (("add-sender", SUBSCRIBER, "a"),                                  "write, for example, ann@example.com"),
        (("add-sender", SUBSCRIBER, "a b@c.example"),                      "write, for example, ann@example.com"),
        (("add-sender", SUBSCRIBER, "a@b"),                                "write, for example, ann@example.com"),
        (("add-sender", SUBSCRIBER, "ann@[b.example"),                     "write, for example, ann@example.com"),
        (("add-sender", SUBSCRIBER, "a:b;@c.example"),                     "write, for example, ann@example.com"),
        (("add-sender", SUBSCRIBER, "ann@b..example"),                     "write, for example, ann@example.com"),
        (("add-sender", SUBSCRIBER, "ann@müller.example"),                 "ann@xn--mller-kva.example"),
        (("add-sender", SUBSCRIBER, "änn@b.example"),                      "of ASCII letters"),
        (("remove-sender", SUBSCRIBER, "a@b.example"),                     "is not registered"),
        (("remove-sender", SUBSCRIBER, "ann@müller.example"),              "is not registered"),
        (("token", "999"),                                                 "unknown account '999'"),
        (("token", SUBSCRIBER, "--count", "0"),                            "between 1 and 1000"),
        (("token", SUBSCRIBER, "--days", "many"),                          "between 1 and 3650"),
        (("withdraw-tokens", "999"),                                       "unknown account '999'"),
    ],
)  # fmt: skip
def test_what_cannot_be(shop: CommandLine, words: tuple[str, ...], says: str) -> None:
    shop.ok("email", "add", ADDRESS)
    assert says in shop.refused("email", *words)


def test_senders(shop: CommandLine) -> None:
    assert "is registered for" in shop.ok("email", "add-sender", SUBSCRIBER, "Ann@People.example").out
    assert "already registered" in shop.ok("email", "add-sender", SUBSCRIBER, "ann@people.example").out
    (row,) = shop.ok("email", "senders", "--json").json
    assert (row["account"], row["address"]) == (SUBSCRIBER, "ann@people.example")
    shop.ok("email", "remove-sender", SUBSCRIBER, "ANN@people.example")
    assert shop.ok("email", "senders", "--json").json == []


def test_tokens_are_shown_once_and_kept_as_hashes(shop: CommandLine) -> None:
    tokens = shop.ok("email", "token", SUBSCRIBER, "--count", "3", "--days", "7").out.split()
    assert len(set(tokens)) == 3
    assert not [token for token in tokens if token in "".join(shop.dump())]
    assert "3 unused tokens" in shop.ok("email", "withdraw-tokens", SUBSCRIBER).out


def test_an_open_door_is_warned_of(shop: CommandLine) -> None:
    assert "senders can be forged" in shop.ok("email", "add", ADDRESS, "--set", "policy=none").out
    shop.ok("email", "add", "second@calls.example")
    said = shop("doctor").out
    assert f"{ADDRESS}: senders can be forged" in said
    assert "second@calls.example refuses every mail" in said


def _piped(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw)))


def test_the_pipe_says_75_while_something_is_not_set_up(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = b"From: a@people.example\r\n\r\nhello\r\n"
    for variable in ("RECIPIENT", "ORIGINAL_RECIPIENT"):
        monkeypatch.delenv(variable, raising=False)
    _piped(monkeypatch, raw)
    result = shop("email", "receive")
    assert (result.code, result.out) == (75, "")
    assert "is not an enabled e-mail instance" in result.err
    shop.ok("email", "add", ADDRESS)
    _piped(monkeypatch, raw)
    assert shop("email", "receive", "--to", "x@calls.example").code == 75
    _piped(monkeypatch, raw)
    monkeypatch.setenv("STASIS_CALLBACK_EMAIL__PORT", "many")
    assert shop("email", "receive").code == 75


@pytest.mark.parametrize(
    "mistyped",
    [
        ["email", "receive", "--too", ADDRESS],
        ["email", "receive", "--to"],
        ["email", "receive", ADDRESS],
        ["--confg", "x", "email", "receive"],
        ["email", "receive", "--to", "\udcff"],
    ],
)
def test_a_mistyped_line_of_a_mail_server_sends_no_mail_back(shop: CommandLine, mistyped: list[str]) -> None:
    result = shop(*mistyped)
    assert (result.code, result.out) == (75, "")
    assert result.err
