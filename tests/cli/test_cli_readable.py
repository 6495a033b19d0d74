"""What commands print fits 80 columns, says all of it, and has whole sentences; the shell completes commands."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import ACCESS_NUMBER, SUBSCRIBER, CommandLine
from typer.main import get_command

from stasis_callback.admin.app import app
from stasis_callback.admin.commands import described, run
from stasis_callback.admin.node.reference import commands

NAME = "A customer with a long name of sixty-four characters, which is a"
READS = ("list", "show", "options", "history", "entries", "senders", "statement", "live")
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "customer show": (NAME,),
    "customer statement": (NAME,),
    "tariff show": ("retail",),
    "rate list": ("retail",),
    "rate history": ("retail",),
    "rate profile show": ("telco",),
    "product show": ("callback",),
    "account show": ("447700900123456@example.com",),
    "account statement": (SUBSCRIBER,),
    "voucher show": ("spring",),
    "vendor show": ("carrier",),
    "trunk show": ("carrier-prague-2",),
    "access-number show": (ACCESS_NUMBER,),
    "web show": ("site",),
    "email show": ("callback@example.com",),
    "message show": ("sms",),
}


def paths() -> Iterator[tuple[str, ...]]:
    """Every command that lists or shows something."""
    for command, context in commands(get_command(app)):
        path = tuple(context.command_path.split()[1:])
        if path and path[-1] in READS and not hasattr(command, "commands"):
            yield path


@pytest.fixture
def wide(shop: CommandLine, called: str) -> CommandLine:
    """A shop whose names, numbers and amounts are long."""
    shop.ok("customer", "add", NAME, "--currency", "USD")
    shop.ok(
        "account", "add", "447700900123456@example.com", "--customer", NAME, "--product", "callback",
        "--opening-balance", "999999999.99", "--expires", "2998-12-31",
        *(word for number in range(20) for word in ("--alias", f"44770090{number:04d}")),
    )  # fmt: skip
    shop.ok("account", "adjust", SUBSCRIBER, "--by", "-1.01", "--reason", "a reason " * 20)
    shop.ok("tariff", "add", "cost", "--currency", "USD")
    shop.ok("vendor", "add", "carrier", "--currency", "USD")
    shop.ok("trunk", "add", "carrier-prague-2", "--vendor", "carrier", "--tariff", "cost")
    shop.ok("route", "add", "420", "carrier-prague-2")
    shop.ok(
        "voucher",
        "generate",
        "spring",
        "--count",
        "2",
        "--amount",
        "10",
        "--currency",
        "USD",
        "--out",
        "v.csv",
    )
    shop.ok(
        "rate",
        "profile",
        "set",
        "telco",
        "--columns",
        "prefix=Dial code of the destination,first_price=Rate per minute in USD",
    )
    shop.ok(
        "rate", "add", "retail", "44", "0.03111356", "--connect-fee", "12345.678901", "--from", "2998-12-31"
    )
    shop.ok("web", "add", "site", "--type", "simple", "--set", "second_number=442071234567")
    shop.ok("email", "add", "callback@example.com")
    shop.ok("message", "add", "sms")
    shop.ok("email", "add-sender", SUBSCRIBER, "somebody.with.a.long.name@department.example.com")
    return shop


def test_every_listing_fits_80_columns(wide: CommandLine, called: str) -> None:
    seen = 0
    for path in paths():
        words = words_of(wide, path, called)
        result = wide(*words)
        assert result.code == 0, (words, result.err)
        widest = max(map(len, result.out.splitlines()), default=0)
        assert widest <= 80 or path == ("config", "show"), (words, widest)
        seen += bool(result.out)
    assert seen > 25


def words_of(wide: CommandLine, path: tuple[str, ...], called: str) -> tuple[str, ...]:
    """The words that run a listing in the wide shop."""
    of_call = (called,) if path[0] in ("request", "call") and path[-1] == "show" else ()
    return (*path, *of_call, *ARGUMENTS.get(" ".join(path), ()))


def test_no_listing_breaks_a_word(wide: CommandLine, called: str) -> None:
    """A number, a price or a name is in one piece, in columns or as fields below each other."""
    seen = 0
    for path in paths():
        words = words_of(wide, path, called)
        with wide.stores() as stores:
            tables = run(words, "jana", stores).tables
        printed = wide(*words).out.split()
        for text in (text for table in tables for row in table.rows for text in row):
            for word in re.findall(r"[^\s_]+_?", text):
                assert any(word in one for one in printed) or len(word) > 60, (words, word)
                seen += 1
    assert seen > 100


NO_CSV = {
    "rate check": "two lists of findings",
    "ledger repair": "with --fix it ends what it lists",
}


def test_every_list_is_to_be_had_as_csv(wide: CommandLine, called: str) -> None:
    lists = [command for command in described().values() if command.help.startswith("List")]
    assert {command.name for command in lists if "--csv" not in command.formats} == set(NO_CSV)
    assert len(lists) > 30
    for command in lists:
        if command.name in NO_CSV:
            continue
        words = (*words_of(wide, command.path, called), "--csv")
        done = wide(*words)
        assert done.code == 0, (words, done)
        header, *rows = csv.reader(done.out.splitlines())
        assert len(header) > 1, words
        assert all(len(row) == len(header) for row in rows), words
        assert wide(*words, "--json").code == 2, words


def test_what_is_folded_is_still_there(wide: CommandLine) -> None:
    shown = wide.ok("account", "show", "447700900123456@example.com").out
    assert all(f"44770090{number:04d}" in shown for number in range(20))
    assert f"{SUBSCRIBER}" in wide.ok("account", "list").out


def test_characters_of_two_columns_take_two(shop: CommandLine) -> None:
    name, note = "東京テレコム株式会社", "現金で支払いました。領収書は郵送します。"
    shop.ok("customer", "add", name, "--currency", "USD")
    shop.ok("account", "add", "1000", "--customer", name, "--product", "callback")
    for n in range(2):
        shop.ok("account", "topup", "1000", "5", "--key", f"cash-{n}", "--note", note * 2)
    for words in (
        ("account", "statement", "1000"), ("ledger", "entries", "--account", "1000"), ("account", "show", "1000"),
        ("customer", "list"), ("account", "list"), ("audit", "list"),
    ):  # fmt: skip
        lines = shop.ok(*words).out.splitlines()
        assert max(map(_columns, lines)) <= 80, words
        assert all(line.isprintable() for line in lines), words
    acme, header = (
        next(line for line in shop.ok("customer", "list").out.splitlines() if word in line)
        for word in (name, "currency")
    )
    assert _columns(acme.partition("USD")[0]) == header.index("currency")


def test_a_line_does_not_end_within_a_character(shop: CommandLine) -> None:
    """Nor is one lost where a text without spaces goes on in the next line."""
    shop.ok("account", "topup", SUBSCRIBER, "5", "--key", "long", "--note", "x" + "漢字" * 40)
    lines = shop.ok("account", "statement", SUBSCRIBER).out
    assert lines.count("漢") == lines.count("字") == 40
    assert max(map(_columns, lines.splitlines())) <= 80


def _columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def test_no_help_text_is_cut_off() -> None:
    for command, context in commands(get_command(app)):
        listed = command.get_help(context).partition("\nCommands:")[2]
        assert "..." not in listed, context.command_path


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("stasis-callback acc", "account"),
        ("stasis-callback account top", "topup"),
        ("stasis-callback xdr list --cus", "--customer"),
    ],
)
def test_the_shell_completes(
    words: str, completed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_STASIS_CALLBACK_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    command: Any = get_command(app)
    with pytest.raises(SystemExit):
        command.main([], "stasis-callback", standalone_mode=False)
    assert completed in capsys.readouterr().out.split()


def test_a_settings_file_that_may_not_be_read_says_who_may(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydantic_settings import TomlConfigSettingsSource

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    cli.ok("init")
    monkeypatch.setattr(TomlConfigSettingsSource, "__init__", denied)  # tests run as root, who may read all
    assert "run the command as the user of the service" in cli("account", "list").err


@pytest.mark.sqlite
def test_a_database_of_another_user_says_whose_it_is(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 65534)  # tests run as root, who may all
    monkeypatch.setattr("os.access", lambda *_: False)
    said = shop("account", "list").err
    assert f"user nobody may not use the database {shop.database}" in said
    assert "`runuser -u root -- stasis-callback ...`" in said


def test_a_list_that_may_not_be_read_says_who_may_not(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Path.open

    def denied(path: Path, *words: Any, **options: Any) -> Any:
        if path.name == "list.csv":
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path, *words, **options)

    monkeypatch.setattr("stasis_callback.admin.rates.sheets.Path.open", denied)
    assert "user root may not read or write /root/list.csv" in shop.refused(
        "rate", "import", "retail", "/root/list.csv"
    )
