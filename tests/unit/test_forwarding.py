"""A node's CEL journal is forwarded into the database: each event, over rotations, restarts and hiccups."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from shop import Shop

from stasis_callback.ari.cel_tail import AT_ONCE_BYTES
from stasis_callback.ari.client import AriClient
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.engine.forwarding import JournalForwarder
from stasis_callback.store.calls.journals import Life
from stasis_callback.testing.fake import FakeNetwork
from stasis_callback.testing.hiccups import hiccups, once

T = Clock().now_us() // US_PER_S
NO_ASTERISK = AriClient("http://127.0.0.1:9", "nobody", "", "nothing")


def line(kind: str, channel: str, second: int, extra: str = "") -> str:
    return f'"{kind}","{T + second}.500000","{channel}","{channel}","{extra}"\n'


def call(channel: str, second: int = 0) -> str:
    """A call that was answered after two seconds and ended after ten."""
    return (
        line("CHAN_START", channel, second)
        + line("ANSWER", channel, second + 2)
        + line("HANGUP", channel, second + 10, '{""hangupcause"":16}')
    )


def life(channel: str, second: int = 0) -> Life:
    start_us = (T + second) * US_PER_S + 500_000
    return Life(channel, start_us, start_us + 2 * US_PER_S, start_us + 10 * US_PER_S, 16)


class Journal:
    """A journal, and the process that forwards it."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop = shop
        self.file = folder / "stasis-callback.csv"
        self.restarts()

    def restarts(self) -> None:
        self.forwarder = JournalForwarder(self.shop.stores.journals, NO_ASTERISK, self.file, "n1", Clock())

    def writes(self, *texts: str) -> None:
        with self.file.open("a") as file:
            file.write("".join(texts))

    def looks(self) -> None:
        while self.forwarder.look():
            pass

    def known(self, *channels: str) -> list[Life]:
        return sorted(self.shop.stores.journals.lives(channels))


@pytest.fixture
def journal(shop: Shop, tmp_path: Path) -> Journal:
    folder = tmp_path / "cel-custom"
    folder.mkdir()
    return Journal(shop, folder)


def test_what_is_written_is_known_in_the_database(journal: Journal) -> None:
    journal.looks()
    journal.writes(call("x-a1"), line("CHAN_START", "x-b1", 3), line("CHAN_START", "1764406800.12", 3))
    journal.looks()
    begun = Life("x-b1", (T + 3) * US_PER_S + 500_000, None, None, None)
    assert journal.known("x-a1", "x-b1", "1764406800.12") == [life("x-a1"), begun]
    journal.writes(line("ANSWER", "x-b1", 5))
    journal.looks()
    assert journal.known("x-b1") == [begun._replace(answered_at_us=(T + 5) * US_PER_S + 500_000)]


def test_half_a_line_waits_for_its_other_half(journal: Journal) -> None:
    text = call("x-a1")
    journal.writes(text[:-20])
    journal.looks()
    assert journal.known("x-a1") == [life("x-a1")._replace(ended_at_us=None, cause=None)]
    journal.writes(text[-20:])
    journal.looks()
    assert journal.known("x-a1") == [life("x-a1")]


@pytest.mark.parametrize("while_away", [False, True], ids=["it goes on", "it was away"])
def test_a_journal_is_rotated(journal: Journal, while_away: bool) -> None:
    journal.writes(call("x-a1"))
    journal.looks()
    journal.writes(call("x-a2"))
    for n in (2, 1):
        older = journal.file.with_name(f"{journal.file.name}.{n - 1}" if n > 1 else journal.file.name)
        if older.exists():
            older.rename(journal.file.with_name(f"{journal.file.name}.{n}"))
    if while_away:
        journal.restarts()
    journal.writes(call("x-a3"))
    journal.looks()
    assert journal.known("x-a1", "x-a2", "x-a3") == [life("x-a1"), life("x-a2"), life("x-a3")]


def test_a_journal_is_compressed_while_the_forwarder_is_away(journal: Journal) -> None:
    journal.writes(call("x-a1"))
    journal.looks()
    journal.writes(call("x-a2"))
    with gzip.open(f"{journal.file}.1.gz", "wt") as packed:
        packed.write(journal.file.read_text())
    journal.file.unlink()
    journal.writes(call("x-a3"))
    journal.restarts()
    journal.looks()
    assert journal.known("x-a1", "x-a2", "x-a3") == [life("x-a1"), life("x-a2"), life("x-a3")]


def test_a_journal_is_cut_and_begins_anew(journal: Journal) -> None:
    journal.writes(call("x-a1"), call("x-a2"))
    journal.looks()
    journal.file.write_text("")
    journal.looks()
    journal.writes(call("x-a3"))
    journal.looks()
    assert journal.known("x-a1", "x-a3") == [life("x-a1"), life("x-a3")]


def test_a_long_journal_is_read_in_parts_and_damage_is_passed_over(journal: Journal) -> None:
    journal.writes("x" * (AT_ONCE_BYTES + 10), "\n", call("x-a1"))
    journal.writes(*(line("CHAN_START", f"missed.{n}", 0) for n in range(AT_ONCE_BYTES // 60)), call("x-a2"))
    journal.looks()
    assert journal.known("x-a1", "x-a2") == [life("x-a1"), life("x-a2")]


def test_what_could_not_be_kept_is_read_again(journal: Journal) -> None:
    journal.looks()
    journal.writes(call("x-a1"))
    with journal.shop.stores.database.patience(0), hiccups(journal.shop.stores.database, once("statement")):
        assert not journal.forwarder.look()
    journal.looks()
    assert journal.known("x-a1") == [life("x-a1")]


def test_no_journal_is_no_reason_to_end(journal: Journal, tmp_path: Path) -> None:
    journal.file.parent.rmdir()
    assert not journal.forwarder.look()
    journal.file.parent.mkdir()
    journal.writes(call("x-a1"))
    journal.looks()
    assert journal.known("x-a1") == [life("x-a1")]


def test_it_says_which_asterisk_is_at_work(shop: Shop, fake_network: FakeNetwork, tmp_path: Path) -> None:
    network = fake_network
    client = AriClient(network.ari_url, network.ari_username, network.ari_password, network.ari_app)
    started_at = client.info().started_at
    for who, wanted in ((client, started_at), (NO_ASTERISK, "")):
        JournalForwarder(shop.stores.journals, who, tmp_path / "cel.csv", "n1", Clock()).look()
        look = shop.stores.journals.last_look("n1")
        assert look is not None
        assert (look.asterisk_started_at, look.at_us) == (wanted, shop.clock.now_us())
    client.close()
