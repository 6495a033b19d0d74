"""Access numbers for each trigger, tried out before anybody calls; and what accounts and products have for them."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest
from command_line import ACCESS_NUMBER, SUBSCRIBER, CommandLine

from stasis_callback.engine.admission.checks import login_key

PIN, HOUSE = "6192345678", "house"

# --- access-number test ------------------------------------------------------------------------------------------


def test_a_call_that_would_be_called_back_is_explained(shop: CommandLine) -> None:
    told = shop.ok("access-number", "test", ACCESS_NUMBER, "--ani", "+420 212 345 678").out
    assert told.splitlines() == [
        "the caller's number 420212345678 is translated to 420212345678",
        "420212345678 is account 420212345678",
        "leg A to 420212345678 is charged to 420212345678 at the rate of prefix 420",
        "420212345678 would be called back",
    ]
    same = shop.ok("access-number", "test", "--dnis", ACCESS_NUMBER, "--ani", SUBSCRIBER, "--json").json
    assert (same["called_back"], same["reason"], same["trigger"]) == (True, "", "ani")
    assert (same["leg_a_number"], same["payer"], same["subscriber"]) == (SUBSCRIBER,) * 3


@pytest.mark.parametrize(
    ("dnis", "ani", "reason"),
    [
        (ACCESS_NUMBER, "", "no_ani"),
        (ACCESS_NUMBER, "anonymous", "no_ani"),
        (ACCESS_NUMBER, "12", "bad_ani"),
        (ACCESS_NUMBER, "420999888777", "unknown_account"),
        ("420999", SUBSCRIBER, "unknown_access_number"),
    ],
)
def test_a_call_that_would_be_refused_says_why_and_exits_with_1(
    shop: CommandLine, dnis: str, ani: str, reason: str
) -> None:
    before = shop.dump()
    result = shop("access-number", "test", dnis, "--ani", ani)
    assert (result.code, result.err) == (1, "")
    assert result.out.splitlines()[-1] == f"the call would be refused: {reason}"
    result = shop("access-number", "test", dnis, "--ani", ani, "--json")
    assert (result.code, result.json["called_back"], result.json["reason"]) == (1, False, reason)
    assert shop.dump() == before


def test_a_personal_access_number_needs_no_caller(shop: CommandLine) -> None:
    shop.ok(
        "account", "add", "420800123777", "--customer", "Acme", "--product", "callback", "--callback-number",
        "420603111222",
    )  # fmt: skip
    shop.ok("account", "topup", "420800123777", "5")
    shop("access-number", "add", "420800123777", "--set", "authentication=dnis")
    assert shop.ok("access-number", "test", "420800123777").out.endswith(
        "420603111222 would be called back\n"
    )


def test_a_pin_access_number_asks_whoever_answers(shop: CommandLine) -> None:
    shop.ok("account", "add", HOUSE, "--customer", "Acme", "--product", "callback", "--credit-limit", "5")
    shop.ok(
        "access-number",
        "add",
        "420800123777",
        "--set",
        "authentication=pin",
        "--set",
        f"internal_account={HOUSE}",
    )
    told = shop.ok("access-number", "test", "420800123777", "--ani", "420603111222").out
    assert "420603111222 would be called back, and asked for a PIN" in told
    found = shop.ok("access-number", "test", "420800123777", "--ani", "420603111222", "--json").json
    assert (found["trigger"], found["payer"], found["subscriber"]) == ("pin", HOUSE, "")


@pytest.mark.parametrize(
    "words",
    [[], [ACCESS_NUMBER, "--dnis", ACCESS_NUMBER], [ACCESS_NUMBER, "--ani", "\x1b[2J"], ["\x1b[2J"],
     [ACCESS_NUMBER, "--ani", "1" * 999]],
)  # fmt: skip
def test_what_is_no_call(shop: CommandLine, words: list[str]) -> None:
    shop.refused("access-number", "test", *words)


def test_a_caller_who_was_locked_out_is_let_in_again(shop: CommandLine) -> None:
    with shop.stores() as stores:
        assert stores.throttles.failed(login_key(SUBSCRIBER), limit=1, lock_s=900)
    assert (
        shop.ok("access-number", "unlock", "+" + SUBSCRIBER).out == f"{SUBSCRIBER} is no longer locked out\n"
    )
    with shop.stores() as stores:
        assert not stores.throttles.locked(login_key(SUBSCRIBER))
    assert "was not locked out" in shop.ok("access-number", "unlock", SUBSCRIBER).out
    shop.refused("access-number", "unlock", "nobody")


def test_options_that_need_each_other_are_set_together(shop: CommandLine) -> None:
    shop.ok("account", "add", HOUSE, "--customer", "Acme", "--product", "callback")
    shop.refused("access-number", "set", ACCESS_NUMBER, "--set", "authentication=pin")
    shop.ok(
        "access-number",
        "set",
        ACCESS_NUMBER,
        "--set",
        "authentication=pin",
        "--set",
        f"internal_account={HOUSE}",
    )
    shop.refused("access-number", "set", ACCESS_NUMBER, "--set", "internal_account=")


def test_an_option_names_only_what_is_there(shop: CommandLine) -> None:
    for verb, number in (("add", "420800"), ("set", ACCESS_NUMBER)):
        said = shop.refused("access-number", verb, number, "--set", "internal_account=nobody")
        assert "unknown account 'nobody'" in said
        assert "no prompts in language 'xx'" in shop.refused(
            "access-number", verb, number, "--set", "languages=en,xx"
        )
    shop.ok("access-number", "set", ACCESS_NUMBER, "--set", "languages=en")
    shop.ok("access-number", "set", ACCESS_NUMBER, "--set", "languages=")


# --- translation test --------------------------------------------------------------------------------------------


def test_rules_are_shown_one_by_one(shop: CommandLine) -> None:
    numbers = ("0042021", "020 7123 4567", "x", "0")
    assert (
        shop.ok("translation", "test", "s/^00//; s/^0(2)/ani442/", *numbers).out
        == """\
0042021
  s/^00//          42021
  s/^0(2)/ani442/  (does not match)
  = 42021, which can be dialled
020 7123 4567
  s/^00//          (does not match)
  s/^0(2)/ani442/  ani442071234567
  = ani442071234567, dialled as 442071234567
x
  is not a phone number
0
  s/^00//          (does not match)
  s/^0(2)/ani442/  (does not match)
  = 0, which cannot be dialled: it needs 3 to 15 digits
"""
    )


def test_rules_are_shown_to_programs(shop: CommandLine) -> None:
    assert shop.ok("translation", "test", "s/^0/44/", "+123", "01234", "x", "--json").json == [
        {
            "given": "+123",
            "steps": [{"rule": "s/^0/44/", "matched": False, "result": "+123"}],
            "result": "123",
            "dialed": "123",
        },
        {
            "given": "01234",
            "steps": [{"rule": "s/^0/44/", "matched": True, "result": "441234"}],
            "result": "441234",
            "dialed": "441234",
        },
        {"given": "x", "steps": [], "result": None, "dialed": None},
    ]
    assert shop.ok("translation", "test", "", "420212").out == "420212\n  = 420212, which can be dialled\n"


@pytest.mark.parametrize(
    "rules", ["s/^0/", "s/(.*)*/x/", "s/a?a?a?a?/b/", "s/^0/$1/", "\x1b[2J", "s/" + "0" * 999]
)
def test_bad_rules_are_refused(shop: CommandLine, rules: str) -> None:
    shop.refused("translation", "test", rules, "420212")


def test_a_number_to_translate_is_needed(shop: CommandLine) -> None:
    shop.refused("translation", "test", "s/^0/44/")


# --- products: access codes --------------------------------------------------------------------------------------


def test_a_product_has_another_tariff_for_an_access_code(shop: CommandLine) -> None:
    shop.ok("tariff", "add", "cheap", "--currency", "USD")
    said = shop.ok("product", "set", "callback", "--tariff", "cheap", "--access-code", "NIGHT").out
    assert said == "product callback is rated by cheap for access code NIGHT from the next call on\n"
    product = shop.ok("product", "show", "callback", "--json").json
    assert (product["tariff"], product["access_codes"]) == ("retail", {"NIGHT": "cheap"})
    assert "NIGHT=cheap" in shop.ok("product", "list").out
    for tariff, code in (("cheap", "night"), ("cheap", "A B"), ("cheap", "X" * 33), ("euros", "NIGHT")):
        shop.refused("product", "set", "callback", "--tariff", tariff, "--access-code", code)


# --- accounts ----------------------------------------------------------------------------------------------------


def account(shop: CommandLine) -> dict[str, object]:
    return dict(shop.ok("account", "show", SUBSCRIBER, "--json").json)


def test_an_account_has_a_language_and_speed_dials(shop: CommandLine) -> None:
    shop.ok(
        "account",
        "set",
        SUBSCRIBER,
        "--language",
        "en",
        "--speed-dial",
        "1=442071234567",
        "--speed-dial",
        "02=420999",
    )
    assert account(shop)["language"] == "en"
    assert account(shop)["speed_dials"] == {"02": "420999", "1": "442071234567"}
    assert "02=420999, 1=442071234567" in shop.ok("account", "show", SUBSCRIBER).out
    shop.ok("account", "set", SUBSCRIBER, "--speed-dial", "3=420111", "--language", "")
    assert (account(shop)["language"], account(shop)["speed_dials"]) == ("", {"3": "420111"})
    shop.ok("account", "set", SUBSCRIBER, "--no-speed-dials")
    assert account(shop)["speed_dials"] == {}


@pytest.mark.parametrize(
    "words",
    [["--speed-dial", "1"], ["--speed-dial", "123=420999"], ["--speed-dial", "1=+420999"],
     ["--speed-dial", "=420999"], ["--speed-dial", "1=420999", "--speed-dial", "1=420888"],
     ["--speed-dial", "1=420999", "--no-speed-dials"],
     ["--speed-dial", "x=420999"], ["--speed-dial", "1=\x1b[2J"], ["--language", "xx"], ["--language", "english"]],
)  # fmt: skip
def test_bad_languages_and_speed_dials(shop: CommandLine, words: list[str]) -> None:
    shop.refused("account", "set", SUBSCRIBER, "--status", "blocked", *words)


# --- accounts: the service password ------------------------------------------------------------------------------


def typed(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    """Text on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))


def test_a_service_password_is_set_and_removed_and_never_shown(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert account(shop)["has_service_password"] is False
    typed(monkeypatch, b"4711 rosebud\r\nmore")
    said = shop.ok("account", "set", SUBSCRIBER, "--service-password").out
    stored = next(line for line in shop.dump() if "argon2" in line)
    with shop.stores() as stores:
        hashed = stores.accounts.named(SUBSCRIBER).password_hash
    assert hashed in stored
    for words in (
        ("account", "show", SUBSCRIBER),
        ("account", "list"),
        ("account", "topup", SUBSCRIBER, "1"),
    ):
        for shown in (shop.ok(*words).out, shop.ok(*words, "--json").out, said):
            assert "argon2" not in shown
            assert "4711" not in shown
    assert account(shop)["has_service_password"] is True
    assert "has service password  yes" in shop.ok("account", "show", SUBSCRIBER).out
    shop.ok("account", "set", SUBSCRIBER, "--no-service-password")
    assert account(shop)["has_service_password"] is False


@pytest.mark.parametrize("text", [b"", b"\n", b"\xff\xfe\n", b"x" * 65, b"tab\there\n", "žluť\n".encode()])
def test_a_password_that_cannot_be_used_is_refused_and_not_repeated(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    typed(monkeypatch, text)
    assert "xxx" not in shop.refused("account", "set", SUBSCRIBER, "--service-password")


def test_a_password_is_no_argument(shop: CommandLine) -> None:
    shop.refused("account", "set", SUBSCRIBER, "--service-password=secret")


def test_a_password_is_typed_twice_and_not_echoed(shop: CommandLine) -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "stasis_callback", "account", "set", SUBSCRIBER, "--service-password"]
    # In a session of its own, so that this terminal is its own: getpass asks there.
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""
    try:
        for _ in range(2):
            while not shown.endswith(b": "):
                shown += os.read(ours, 65536)
            os.write(ours, b"rosebud\n")
            shown += os.read(ours, 65536)
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # how Linux says that the other end was closed
        pass
    finally:
        os.close(ours)
    assert process.wait(30) == 0, shown
    assert b"rosebud" not in shown
    assert account(shop)["has_service_password"] is True
