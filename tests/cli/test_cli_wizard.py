"""`init` asks for what a first callback needs, or takes it from options, and sets it up: all of it or nothing."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest
from command_line import CommandLine

GIVEN = {
    "--country": "cz",
    "--carrier": "sip.carrier.example",
    "--access-number": "800 123 456",
    "--account": "601 123 456",
}


def words(**changed: str) -> list[str]:
    given = GIVEN | {f"--{name.replace('_', '-')}": text for name, text in changed.items()}
    return ["init", "--yes", *(word for pair in given.items() for word in pair if pair[1])]


class Terminal(io.StringIO):
    """A terminal at which these lines are typed."""

    def isatty(self) -> bool:
        return True


def test_with_options_it_asks_nothing_and_all_is_there(cli: CommandLine) -> None:
    out = cli.ok(
        *words(carrier_addresses="198.51.100.0/28, 192.0.2.7", numbers="national:CZ", price="0.06")
    ).out
    assert "$ stasis-callback rate add retail 420 0.06 --description CZ" in out
    assert cli.ok("account", "show", "420601123456", "--json").json["balance"] == "10.00"
    assert cli.ok("config", "show", "--json").json["settings"]["asterisk"]["numbers"] == "national:CZ"
    tried = cli.ok(
        "access-number", "test", "420800123456", "--ani", "420601123456"
    )  # it would be called back
    assert "420601123456" in tried.out
    local = Path("asterisk-local")
    assert stat.S_IMODE(local.stat().st_mode) == 0o700
    pjsip = (local / "pjsip.conf").read_text()
    assert "contact = sip:sip.carrier.example:5060\n" in pjsip
    assert "match = 198.51.100.0/28\nmatch = 192.0.2.7\n" in pjsip
    password = Path("stasis-callback.toml").read_text().split('password = "')[1].split('"')[0]
    assert (local / "ari.conf").read_text() == f"[stasis-callback](ari-user)\npassword = {password}\n"


def test_on_a_terminal_it_asks_until_the_answers_can_be_used(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = "xx\ncz\n-bad host-\nsip.carrier.example:5070\n800 123 456\n12\n601 123 456\nEUR\n\n\n\n20\n"
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    result = cli("init")
    assert result.code == 0, result
    assert result.err.count("error: ") == 3
    assert "unknown country 'xx'" in result.err
    assert cli.ok("account", "show", "420601123456", "--json").json["balance"] == "20.00"
    assert "contact = sip:sip.carrier.example:5070\n" in Path("asterisk-local/pjsip.conf").read_text()


def test_without_a_country_it_makes_settings_and_database_only(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    assert "Next, configure Asterisk" in cli.ok("init").out
    assert cli.ok("tariff", "list", "--json").json == []
    assert not Path("asterisk-local").exists()


def test_who_goes_away_leaves_nothing(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("cz\nsip.carrier.example\n"))
    assert cli("init").code == 130
    assert list(cli.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"country": ""}, "--country is missing"),
        ({"country": "XX"}, "--country: unknown country 'XX'"),
        ({"carrier": ""}, "--carrier is missing"),
        ({"carrier": "sip:me@host"}, "--carrier: 'sip:me@host' is not a host"),
        ({"carrier": "a\nb"}, "is not a host"),
        ({"carrier_addresses": "198.51.100.0/33"}, "--carrier-addresses: "),
        ({"carrier_addresses": "1.2.3.4\nmatch=0.0.0.0/0"}, "--carrier-addresses: "),
        ({"numbers": "local"}, "--numbers: number form 'local' is invalid"),
        ({"access_number": ""}, "--access-number is missing"),
        ({"access_number": "12"}, "is not a phone number: write it like"),
        ({"account": "800123456"}, "--account: '800123456' is the access number"),
        ({"currency": "crowns"}, "--currency: "),
        ({"price": "free"}, "--price: "),
        ({"funds": "0"}, "--funds: '0' is not more than 0"),
        ({"currency": "JPY", "funds": "10.50"}, "--funds: "),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_left(
    cli: CommandLine, changed: dict[str, str], why: str
) -> None:
    assert why in cli.refused(*words(**changed))
    assert list(cli.folder.iterdir()) == []


def test_what_fails_on_the_way_leaves_nothing(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stasis_callback.admin.node.wizard.PRODUCT", "")  # which no product can be called
    result = cli(*words())
    assert result.code == 2
    assert list(cli.folder.iterdir()) == []
