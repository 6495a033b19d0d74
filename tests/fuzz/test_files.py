"""Files that people and programs write: rates, settings, the billing journal. Nothing in them makes a traceback."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from command_line import CommandLine, Result
from deranged import examples, text
from hypothesis import given
from hypothesis import strategies as st

from stasis_callback.ari.cel import CelJournal

# --- rates -------------------------------------------------------------------------------------------------------

HEADER = [
    "prefix",
    "description",
    "connect_fee",
    "first_interval",
    "first_price",
    "next_interval",
    "next_price",
]
CELLS = st.one_of(
    st.sampled_from(
        ["420", "+44", "0044", "1-5", "", "0", "0.01", "0,01", "-1", "1e9", "free", "60/60", "yes", "''"]
    ),
    st.text(max_size=12),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
)
TABLES = st.builds(
    lambda header, rows, delimiter, end: end.join(delimiter.join(row) for row in [header, *rows]),
    st.permutations(HEADER).map(list) | st.lists(CELLS, max_size=8),
    st.lists(st.lists(CELLS, min_size=1, max_size=9), max_size=6),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
ENCODED = st.builds(
    lambda table, encoding, mark: mark + table.encode(encoding, "replace"),
    TABLES,
    st.sampled_from(["utf-8", "latin-1", "utf-16", "cp1252"]),
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\x00"]),
)


def _taken_or_refused(result: Result, *, sentences: int = 1) -> None:
    """Exit code 0, or 2 with at most this many lines; the last one is the error."""
    assert result.code in (0, 2), result
    lines = result.err.splitlines()
    if result.code == 2:
        assert lines, result
        assert lines[-1].startswith("error: "), result
        assert len(lines) <= sentences, result
    assert all(line.isprintable() for line in lines), result
    assert "Traceback" not in result.err


@pytest.mark.sqlite
def test_any_file_is_imported_or_refused_in_one_sentence(cli: CommandLine) -> None:
    cli.ok("init")
    cli.ok("tariff", "add", "retail", "--currency", "USD")

    @given(ENCODED | st.binary(max_size=300))
    @examples(25, 3000)
    def imported(content: bytes) -> None:
        file = cli.folder / "rates.csv"
        file.write_bytes(content)
        before = cli.dump()
        result = cli("rate", "import", "retail", file)
        _taken_or_refused(result, sentences=1 + content.count(b"\n") + content.count(b"\r") + 1)
        if result.code == 2:
            assert cli.dump() == before

    imported()
    cli.ok("rate", "list", "retail", "--json")
    cli.ok("ledger", "verify")


# --- settings ----------------------------------------------------------------------------------------------------

SETTINGS = """
node = "node1"
log_format = "json"
[database]
url = "sqlite:///stasis-callback.db"
[ari]
url = "http://127.0.0.1:8088"
username = "stasis-callback"
password = "secret"
request_timeout_s = 5.0
[asterisk]
trunk = "trunk"
number_rules = "s/^/+/"
cel_path = "/var/log/x.csv"
[limits]
queue = 1000
[web]
enabled = true
port = 8080
secret = "0123456789abcdef0123456789abcdef"
[email]
imap_port = 993
"""
VALUES = st.sampled_from(
    [
        "1",
        "-1",
        "1e400",
        "nan",
        "true",
        '""',
        '"x"',
        "[]",
        "{}",
        "[1, 'a']",
        "1979-05-27",
        "9" * 400,
        "'''\nx'''",
        "=",
    ]
) | st.text(max_size=20)
NAMES = st.sampled_from(SETTINGS.replace("[", "").replace("]", "").split()) | st.text(max_size=10)


def _deranged_settings() -> st.SearchStrategy[str]:
    lines = st.lists(
        st.builds("{} = {}".format, NAMES, VALUES)
        | st.sampled_from(SETTINGS.splitlines())
        | NAMES.map("[{}]".format),
        max_size=12,
    ).map("\n".join)
    cut = st.randoms(use_true_random=False).map(lambda dice: text(dice, SETTINGS))
    return lines | cut | st.text(max_size=60)


def test_any_settings_are_taken_or_refused_in_one_sentence(cli: CommandLine) -> None:
    file = cli.folder / "stasis-callback.toml"

    @given(_deranged_settings())
    @examples(30, 5000)
    def checked(content: str) -> None:
        file.write_bytes(content.encode(errors="replace"))
        _taken_or_refused(cli("--config", file, "config", "check"))

    checked()

    @given(st.binary(max_size=80))
    @examples(10, 1000)
    def read(content: bytes) -> None:
        file.write_bytes(content)
        _taken_or_refused(cli("--config", file, "config", "check"))

    read()


# --- the CEL journal ---------------------------------------------------------------------------------------------

CALL = (
    b'"CHAN_START","1790000000.000001","s1-a1","s1-a1",""\n'
    b'"ANSWER","1790000001.000002","s1-a1","s1-a1",""\n'
    b'"HANGUP","1790000010.500003","s1-a1","s1-a1","{""hangupcause"":16}"\n'
)


@given(st.binary(max_size=200), st.binary(max_size=200), st.randoms(use_true_random=False))
@examples(100, 10_000)
def test_a_call_is_found_between_any_bytes(
    tmp_path: Path, before: bytes, after: bytes, dice: random.Random
) -> None:
    path = tmp_path / "journal.csv"
    torn = CALL[: dice.randint(0, len(CALL))].replace(b"s1-a1", b"s0-a1")
    path.write_bytes(before + b"\n" + torn + CALL + after)
    found = CelJournal(path).records(["s1-a1"])["s1-a1"]
    assert (found.started_at_us, found.answered_at_us, found.ended_at_us) == (
        1_790_000_000_000_001,
        1_790_000_001_000_002,
        1_790_000_010_500_003,
    )
