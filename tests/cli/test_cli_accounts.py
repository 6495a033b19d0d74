"""Commands about money and rules of accounts, and vouchers."""

from __future__ import annotations

import io
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from command_line import SUBSCRIBER, CommandLine, Result

from stasis_callback.admin import context
from stasis_callback.clock import Clock
from stasis_callback.store.accounts.opening import BatchOpening
from stasis_callback.store.stores import Stores
from stasis_callback.testing.hiccups import MOMENTS, Asked, Moment, hiccups, once

ADD = ("--customer", "Acme", "--product", "callback")
SPRING = ("voucher", "generate", "spring", "--count", "3", "--amount", "5", "--currency")
"""A batch of vouchers; its currency and its file follow."""


def test_an_account_with_all_its_rules(shop: CommandLine) -> None:
    shop.ok(
        "account", "add", "1000", *ADD, "--opening-balance", "5", "--simultaneous-calls", "3", "--daily-cap", "2.50",
        "--days-after-first-use", "30", "--days-after-last-use", "7", "--expires", "2998-12-31",
    )  # fmt: skip
    shown = shop.ok("account", "show", "1000", "--json").json
    assert (shown["kind"], shown["balance"], shown["available"]) == ("debit", "5.00", "5.00")
    assert (shown["simultaneous_calls"], shown["daily_cap"]) == (3, "2.50")
    assert (shown["days_after_first_use"], shown["days_after_last_use"]) == (30, 7)
    shop.ok("account", "set", "1000", "--daily-cap", "none", "--days-after-last-use", "0")
    shown = shop.ok("account", "show", "1000", "--json").json
    assert (shown["daily_cap_micros"], shown["days_after_last_use"]) == (None, None)


def test_what_is_made_does_not_expire_before(shop: CommandLine) -> None:
    vouchers = ("voucher", "generate", "old", "--count", "1", "--amount", "5", "--currency", "USD")
    for words in (
        ("account", "add", "1000", *ADD),
        (*vouchers, "--out", shop.folder / "old.csv"),
        ("api-key", "add", "crm", "--scope", "create"),
    ):
        assert "--expires 2020-01-31 has passed" in shop.refused(*words, "--expires", "2020-01-31")
    assert not (shop.folder / "old.csv").exists()
    shop.ok(*vouchers, "--out", shop.folder / "today.csv", "--expires", "today")
    shop.ok("api-key", "add", "crm", "--scope", "create")
    for noun, name in (("account", SUBSCRIBER), ("api-key", "crm")):  # maybe on purpose
        done = shop(noun, "set", name, "--expires", "2020-01-31")
        assert (done.code, "changed" in done.out) == (0, True)
        assert done.err.startswith("warning: ")
        assert "has expired with that" in done.err


def test_subordinate_accounts_of_a_customer(shop: CommandLine) -> None:
    shop.ok("account", "add", "1000", *ADD, "--kind", "subordinate")
    shop.ok("customer", "topup", "Acme", "20", "--key", "c1")
    assert "was already topped up" in shop.ok("customer", "topup", "Acme", "20", "--key", "c1").out
    shop.ok("customer", "set", "Acme", "--credit-limit", "5", "--daily-cap", "15")
    assert shop.ok("account", "show", "1000", "--json").json["available"] == "25.00"
    (customer,) = shop.ok("customer", "list", "--json").json
    assert (customer["balance"], customer["credit_limit"], customer["daily_cap"]) == (
        "20.00",
        "5.00",
        "15.00",
    )
    assert "already used" in shop.refused("customer", "topup", "Acme", "21", "--key", "c1")
    assert "customer set" in shop.refused("account", "set", "1000", "--credit-limit", "1")


@pytest.mark.parametrize("moment", MOMENTS)
def test_money_is_moved_once_when_the_database_hiccups(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch, moment: Moment
) -> None:
    """An operator whose command fails repeats it: so it must not fail once the money has been moved."""
    open_database = context.open_database

    @contextmanager
    def hiccuping(url: str) -> Iterator[Stores]:
        with open_database(url) as stores, hiccups(stores.database, once(moment)):
            yield stores

    monkeypatch.setattr(context, "open_database", hiccuping)
    for noun, name in (("account", SUBSCRIBER), ("customer", "Acme")):
        shop.ok(noun, "topup", name, "5")
        shop.ok(noun, "adjust", name, "--by", "-2", "--reason", "wrong price")
    with shop.stores() as stores:
        books = stores.accounts.named(SUBSCRIBER).book_id, stores.accounts.customer_book("Acme")
        balances = [stores.ledger.statement(book_id, 1)[0].balance_micros for book_id in books]
    assert balances == [13_000_000, 3_000_000]


def test_block_and_unblock(shop: CommandLine) -> None:
    assert shop.ok("account", "block", SUBSCRIBER).out == f"account {SUBSCRIBER} is blocked\n"
    assert shop.ok("account", "unblock", SUBSCRIBER).out == f"account {SUBSCRIBER} is active\n"


def test_closing(shop: CommandLine) -> None:
    assert "has a balance of 10.00 USD: pay it out, or use --write-off" in shop.refused(
        "account", "close", SUBSCRIBER
    )
    shop.ok("account", "close", SUBSCRIBER, "--write-off")
    assert "is closed" in shop.refused("account", "unblock", SUBSCRIBER)
    assert "pay into another account" in shop.refused("account", "topup", SUBSCRIBER, "5")
    assert shop.ok("ledger", "verify").out == "the ledger is consistent: no discrepancies\n"


def test_an_adjustment_and_a_reversal_with_who_and_why(shop: CommandLine) -> None:
    said = shop.ok("account", "adjust", SUBSCRIBER, "--by", "-1.50", "--reason", "wrong price", "--key", "k")
    assert said.out == f"account {SUBSCRIBER} adjusted by -1.50 USD: the balance is 8.50 USD\n"
    assert (
        "already adjusted"
        in shop.ok("account", "adjust", SUBSCRIBER, "--by", "-1.50", "--reason", "x", "--key", "k").out
    )
    lines = shop.ok("ledger", "entries", "--account", SUBSCRIBER, "--json").json
    assert [(line["kind"], line["amount"], line["balance"]) for line in lines] == [
        ("adjustment", "-1.50", "8.50"),
        ("topup", "10.00", "10.00"),
    ]
    assert lines[0]["note"] == "wrong price"
    assert lines[0]["operator"]
    number = lines[0]["transfer"]
    assert (
        f"transfer {number} is reversed"
        in shop.ok("ledger", "reverse", number, "--reason", "it was right").out
    )
    assert shop.ok("ledger", "entries", "--account", SUBSCRIBER, "--json").json[1]["reversed_by"] > number
    assert "already reversed" in shop.refused("ledger", "reverse", number, "--reason", "again")
    assert "insufficient funds" in shop.refused(
        "account", "adjust", SUBSCRIBER, "--by", "-10.01", "--reason", "x"
    )
    assert "the reason is empty" in shop.refused(
        "account", "adjust", SUBSCRIBER, "--by", "1", "--reason", " "
    )
    assert "unknown transfer" in shop.refused("ledger", "reverse", "999", "--reason", "x")
    assert "already used" in shop.refused(
        "account", "adjust", SUBSCRIBER, "--by", "2", "--reason", "x", "--key", "k"
    )


def test_accounts_by_the_hundred(shop: CommandLine) -> None:
    out = shop.folder / "pins.csv"
    words = ("account", "generate", "100", *ADD, "--batch", "spring", "--out", out, "--opening-balance", "1")
    assert "100 accounts opened" in shop.ok(*words).out
    header, *pins = out.read_text().splitlines()
    assert (header, len(set(pins)), {len(pin) for pin in pins}) == ("number", 100, {12})
    assert all(pin.isdigit() for pin in pins)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    shown = shop.ok("account", "show", pins[42], "--json").json
    assert (shown["batch"], shown["balance"]) == ("spring", "1.00")
    assert "already exists" in shop.refused(*words)
    again = shop.refused(*words[:-4], "--out", "again.csv")
    assert "batch 'spring' has accounts already: choose another name" in again
    assert "--continue" in again
    assert not Path("again.csv").exists()
    assert shop.ok("ledger", "verify").out == "the ledger is consistent: no discrepancies\n"


def test_a_run_that_stops_leaves_accounts_of_no_use_and_is_gone_on_with_or_taken_back(
    shop: CommandLine,
) -> None:
    out = shop.folder / "pins.csv"
    pins = [str(number) for number in range(5000, 5030)]
    out.write_text("\n".join(["number", *pins]))
    words = ("account", "generate", "30", *ADD, "--batch", "spring", "--out", out, "--opening-balance", "1")
    assert "--continue" in shop.refused(*words)
    assert "has 30 ids, not 31" in shop.refused("account", "generate", "31", *words[3:], "--continue")
    shop.ok("account", "set", SUBSCRIBER, "--alias", pins[25])  # somebody else's number
    stopped = shop(*words, "--continue")
    assert stopped.code == 2
    assert (
        "20 of 30 accounts are open, and cannot be used before all are: run the command again" in stopped.err
    )
    assert shop.ok("account", "show", pins[0], "--json").json["expires_at"].startswith("1970-01-01T00:00:00")
    other = shop.folder / "other.csv"
    other.write_text("\n".join(["number", *(f"9{pin}" for pin in pins)]))
    assert "has accounts already" in shop.refused(*words[:10], other, *words[11:], "--continue")
    assert other.exists()
    shop.ok("account", "set", SUBSCRIBER, "--alias", "")
    assert "30 accounts opened" in shop.ok(*words, "--continue").out
    with shop.stores() as stores:
        assert stores.search.batch("spring") == {"active": 30}
        accounts = [stores.accounts.named(pin) for pin in pins]
        assert {(account.balance_micros, account.expires_at_us) for account in accounts} == {
            (1_000_000, None)
        }
    assert "open already" in shop.refused(*words, "--continue")
    assert "30 accounts" in shop.ok("account", "close-batch", "spring", "--write-off").out
    assert [row["name"] for row in shop.ok("audit", "list", "--noun", "batch", "--json").json] == [
        "spring"
    ] * 2


@pytest.mark.sqlite
def test_nobody_waits_for_the_end_of_a_run(shop: CommandLine) -> None:
    """Between its transactions others write: on SQLite there is one writer."""
    beside: list[int] = []
    with shop.stores() as stores, closing(sqlite3.connect(shop.database, timeout=0)) as other:

        def writes_beside(done: int, _all: int) -> None:
            other.execute("BEGIN IMMEDIATE")
            other.rollback()
            beside.append(done)

        opening = BatchOpening(
            stores.database, stores.accounts, stores.ledger, Clock(), "Acme", "callback", "b", 0, "x"
        )
        numbers = [str(number) for number in range(5000, 5025)]
        opening.open_all(numbers, writes_beside)
    assert beside == [10, 20, 25]


def test_a_batch_whose_file_cannot_be_written_is_not_made(shop: CommandLine) -> None:
    nowhere = shop.folder / "none" / "codes.csv"
    shop.refused("account", "generate", "10", *ADD, "--batch", "b", "--out", nowhere)
    shop.refused(
        "voucher", "generate", "b", "--count", "10", "--amount", "1", "--currency", "USD", "--out", nowhere
    )


@pytest.mark.sqlite
def test_a_batch_of_vouchers_that_fails_at_its_end_leaves_no_file_of_codes(shop: CommandLine) -> None:
    """Its codes are in no database, but look as good as those of any batch."""
    shop.sql(
        "CREATE TRIGGER failing BEFORE INSERT ON audit_entry WHEN NEW.noun = 'voucher' BEGIN "
        "SELECT RAISE(ABORT, 'failing'); END"
    )
    failed = shop(*SPRING, "USD", "--out", "c.csv")
    assert failed.code != 0
    assert "failing" in failed.err
    assert not Path("c.csv").exists()
    shop.sql("DROP TRIGGER failing")
    assert "3 vouchers" in shop.ok(*SPRING, "USD", "--out", "c.csv").out


@pytest.fixture
def lost(shop: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command for which the answer to the first commit after it has written `c.csv` is lost, and nothing more
    is heard of the database.
    """
    open_database, asked = context.open_database, list[Asked]()

    def plan(what: Asked) -> Moment | None:
        if not asked and not Path("c.csv").exists():
            return None
        asked.append(what)
        return "after" if len(asked) == 1 else "statement"

    @contextmanager
    def hiccuping(url: str) -> Iterator[Stores]:
        with open_database(url) as stores, stores.database.patience(0), hiccups(stores.database, plan):
            yield stores

    def run(*words: str) -> Result:
        with monkeypatch.context() as patch:
            patch.setattr(context, "open_database", hiccuping)
            return shop(*words)

    return run


def test_what_is_not_known_of_a_batch_of_vouchers_is_said(
    shop: CommandLine, lost: Callable[..., Result]
) -> None:
    """Its codes may be good."""
    failed = lost(*SPRING, "USD", "--out", "c.csv")
    assert failed.code != 0
    assert "whether batch spring was made is not known: see `stasis-callback voucher list`" in failed.err
    code = Path("c.csv").read_text().splitlines()[1]
    assert "5.00 USD credited" in shop.ok("voucher", "redeem", SUBSCRIBER, "--code", code).out


def test_accounts_of_which_it_is_not_known_whether_they_are_open_are_gone_on_with(
    shop: CommandLine, lost: Callable[..., Result]
) -> None:
    words = ("account", "generate", "12", *ADD, "--batch", "may", "--out", "c.csv", "--opening-balance", "1")
    failed = lost(*words)
    assert failed.code != 0
    assert "run the command again with --continue" in failed.err
    assert "12 accounts opened" in shop.ok(*words, "--continue").out
    with shop.stores() as stores:
        assert stores.search.batch("may") == {"active": 12}


def test_vouchers(shop: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    out = shop.folder / "codes.csv"
    made = (*SPRING, "usd", "--out", out)
    assert "3 vouchers of 5.00 USD generated" in shop.ok(*made).out
    header, *codes = out.read_text().splitlines()
    assert (header, len(set(codes)), stat.S_IMODE(out.stat().st_mode)) == ("code", 3, 0o600)
    assert "the balance is 15.00 USD" in shop.ok("voucher", "redeem", SUBSCRIBER, "--code", codes[0]).out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(codes[1].encode() + b"\n")))
    assert "the balance is 20.00 USD" in shop.ok("voucher", "redeem", SUBSCRIBER).out
    paid_in = shop.ok("ledger", "entries", "--account", SUBSCRIBER, "--json").json[:2]
    assert all(line["kind"] == "voucher" and line["operator"] for line in paid_in)
    assert "unknown, used, blocked or expired" in shop.refused(
        "voucher", "redeem", SUBSCRIBER, "--code", codes[0]
    )
    assert "1 vouchers of batch spring are blocked" in shop.ok("voucher", "block", "spring").out
    assert "unknown, used, blocked or expired" in shop.refused(
        "voucher", "redeem", SUBSCRIBER, "--code", codes[2]
    )
    (batch,) = shop.ok("voucher", "list", "--json").json
    assert (batch["new"], batch["redeemed"], batch["blocked"], batch["amount"]) == (0, 2, 1, "5.00")
    shop.ok("voucher", "unblock", "spring")
    states = [row["state"] for row in shop.ok("voucher", "show", "spring", "--json").json]
    assert sorted(states) == ["new", "redeemed", "redeemed"]
    assert not any(code in str(shop.dump()) for code in codes)


@pytest.mark.parametrize(
    "words",
    [
        ("account", "add", "1000", *ADD, "--kind", "golden"),
        ("account", "add", "1000", *ADD, "--kind", "debit", "--credit-limit", "5"),
        ("account", "add", "1000", *ADD, "--opening-balance", "0"),
        ("account", "add", "1000", *ADD, "--opening-balance", "-1"),
        ("account", "add", "1000", *ADD, "--simultaneous-calls", "0"),
        ("account", "add", "1000", *ADD, "--daily-cap", "-1"),
        ("account", "set", SUBSCRIBER, "--days-after-first-use", "-1"),
        ("account", "set", SUBSCRIBER, "--daily-cap", "much"),
        ("account", "adjust", SUBSCRIBER, "--by", "0", "--reason", "x"),
        ("account", "adjust", "nobody", "--by", "1", "--reason", "x"),
        ("account", "generate", "10", *ADD, "--batch", "b", "--out", "f.csv", "--length", "4"),
        ("account", "generate", "0", *ADD, "--batch", "b", "--out", "f.csv"),
        ("account", "generate", "10", *ADD, "--batch", "b", "--out", "f.csv", "--opening-balance", "-1"),
        ("account", "block", "nobody"),
        ("account", "close", "nobody"),
        ("customer", "set", "Acme"),
        ("customer", "set", "nobody", "--credit-limit", "1"),
        ("customer", "topup", "Acme", "0"),
        ("voucher", "generate", "b", "--count", "1", "--amount", "0", "--currency", "USD", "--out", "f.csv"),
        (
            "voucher",
            "generate",
            "b",
            "--count",
            "1",
            "--amount",
            "1",
            "--currency",
            "dollar",
            "--out",
            "f.csv",
        ),
        ("voucher", "generate", " ", "--count", "1", "--amount", "1", "--currency", "USD", "--out", "f.csv"),
        ("voucher", "redeem", "nobody", "--code", "X"),
        ("voucher", "block", "nothing"),
        ("voucher", "show", "nothing"),
        ("ledger", "entries", "--account", "nobody"),
        ("ledger", "reverse", "x", "--reason", "y"),
    ],
    ids=lambda words: " ".join(words),
)
def test_what_cannot_be_is_refused(shop: CommandLine, words: tuple[str, ...]) -> None:
    shop.refused(*words)
    assert not (shop.folder / "f.csv").exists()


def test_amounts_that_a_currency_cannot_have(shop: CommandLine) -> None:
    shop.ok("tariff", "add", "yen", "--currency", "JPY")
    shop.ok("product", "add", "yen", "--tariff", "yen")
    shop.ok("customer", "add", "tokyo", "--currency", "JPY")
    wrong = "cannot be an amount of JPY, which has no decimals"
    new = ("account", "add", "81312345678", "--customer", "tokyo", "--product", "yen")
    for option in ("--opening-balance", "--credit-limit", "--daily-cap"):
        assert f"1000.5 {wrong}" in shop.refused(*new, option, "1000.50")
    shop.ok(*new, "--opening-balance", "1000")
    for words in (
        ("account", "topup", "81312345678", "1000.50"),
        ("account", "adjust", "81312345678", "--by", "-0.50", "--reason", "x"),
        ("account", "set", "81312345678", "--daily-cap", "0.50"),
        ("account", "set", "81312345678", "--credit-limit", "0.50"),
        ("account", "generate", "2", "--customer", "tokyo", "--product", "yen", "--batch", "b", "--out",
         shop.folder / "codes.csv", "--opening-balance", "0.50"),
        ("customer", "topup", "tokyo", "0.50"),
        ("customer", "set", "tokyo", "--credit-limit", "0.50"),
        ("customer", "set", "tokyo", "--daily-cap", "0.50"),
        ("rate", "simulate", "--funds", "0.50", "--from", "81312345678", "--to", "81312345679", "--tariff", "yen"),
        ("voucher", "generate", "b", "--count", "1", "--amount", "0.50", "--currency", "jpy", "--out",
         shop.folder / "vouchers.csv"),
    ):  # fmt: skip
        assert wrong in shop.refused(*words), words
    assert (
        "the balance is 999 JPY"
        in shop.ok("account", "adjust", "81312345678", "--by", "-1", "--reason", "x").out
    )


def test_numbers_that_are_called_are_read_and_emergency_numbers_are_refused(shop: CommandLine) -> None:
    shop.ok(
        "account",
        "set",
        SUBSCRIBER,
        "--callback-number",
        "+44 (0)20 7123 4567",
        "--speed-dial",
        "7=+420 212 345 679",
    )
    shown = shop.ok("account", "show", SUBSCRIBER, "--json").json
    assert (shown["callback_number"], shown["speed_dials"]) == ("442071234567", {"7": "420212345679"})
    for option in (("--callback-number", "112"), ("--speed-dial", "1=911")):
        assert "is an emergency number, which is never called" in shop.refused(
            "account", "set", SUBSCRIBER, *option
        )


def test_a_currency_without_decimals_is_shown_without_them_everywhere(shop: CommandLine) -> None:
    shop.ok("customer", "add", "Nippon", "--currency", "JPY")
    shop.ok("tariff", "add", "yen", "--currency", "JPY")
    shop.ok("product", "add", "yen", "--tariff", "yen")
    shop.ok("account", "add", "8100", "--customer", "Nippon", "--product", "yen", "--opening-balance", "1500")
    shop.ok(
        "voucher", "generate", "y", "--count", "1", "--amount", "500", "--currency", "JPY", "--out", "y.csv"
    )
    shop.ok("account", "set", "8100", "--credit-limit", "300")
    told = (
        shop.ok("account", "topup", "8100", "250").out,
        shop.ok("customer", "topup", "Nippon", "250").out,
        shop.ok("customer", "adjust", "Nippon", "--by", "-50", "--reason", "x").out,
        *(
            shop.ok(*words, *form).out
            for words in YEN
            for form in FORMS
            if words[1] != "show" or "--csv" not in form
        ),
    )
    for text in told:
        amounts = re.sub(r"T[0-9:.]+Z", "", text)  # times have thousandths of seconds
        assert not re.search(r"[0-9][.]0", amounts), text
    assert shop.ok("account", "show", "8100", "--json").json["available"] == "2050"
    assert shop.ok("tariff", "set", "yen", "--minimum", "5").out == "tariff yen: minimum 0 -> 5\n"


YEN = (
    ("account", "show", "8100"),
    ("account", "list", "--customer", "Nippon"),
    ("account", "statement", "8100"),
    ("customer", "show", "Nippon"),
    ("voucher", "list"),
    ("voucher", "show", "y"),
    ("ledger", "entries", "--account", "8100"),
)
FORMS = ((), ("--json",), ("--csv",))
