"""Commands on a disk that is full, or mounted read-only, and on a file that is not theirs: they say what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from command_line import CommandLine
from disks import SmallDisk, small_disk

from stasis_callback.core.errors import CallbackError
from stasis_callback.store.database.database import Database

pytestmark = pytest.mark.sqlite
NOBODY = 65534


@pytest.fixture
def disk(shop: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    """The database is on a disk of its own."""
    with small_disk(shop.folder / "disk", size_bytes=8 << 20) as disk:
        shop.database = Path(shutil.move(shop.database, disk.folder / "books.db"))
        shop.url = f"sqlite:///{shop.database}"
        monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", shop.url)
        yield disk


@contextmanager
def at_work(database: Path) -> Iterator[None]:
    """A service has it open, so that SQLite's log is there, with nothing in it."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("SELECT COUNT(*) FROM book").fetchall()
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield


@contextmanager
def full(disk: SmallDisk) -> Iterator[None]:
    disk.fill()
    try:
        yield
    finally:
        disk.free()


@pytest.mark.parametrize("words", [(), ("--whole",)])
def test_what_is_proven_is_told_though_it_cannot_be_noted(
    shop: CommandLine, called: str, disk: SmallDisk, words: tuple[str, ...]
) -> None:
    for harm, code, said in (
        ("", 0, "the ledger is consistent: no discrepancies\n"),
        ("UPDATE book SET balance_micros = 1 WHERE name = 'account:420212345678'", 1, "account:420212345678"),
    ):
        if harm:
            shop.sql(harm)
        with at_work(shop.database), full(disk):
            done = shop("ledger", "verify", *words)
        assert done.code == code, done
        assert said in done.out
        if code == 0 or not words:  # where something is wrong, `--whole` may have nothing to note
            assert done.err.startswith("how far the books are verified could not be noted")
            assert "full" in done.err
    with at_work(shop.database), full(disk):
        assert shop("ledger", "checkpoint").code == 1  # it would be of what was proven before
    with full(disk):
        assert (
            "is full: free some space on it" in shop("ledger", "verify").err
        )  # there is no room for SQLite's log


def test_a_disk_that_is_mounted_read_only_is_called_that(shop: CommandLine, disk: SmallDisk) -> None:
    remount = ["mount", "-o", "remount,ro", str(disk.folder)]
    subprocess.run(remount, check=True)
    for words in (("account", "list"), ("ledger", "verify"), ("node", "list"), ("db", "upgrade")):
        refused = shop(*words)
        assert (refused.code, refused.out) == (1, ""), refused
        assert (
            f"the database {shop.database} cannot be written to: its file system is mounted read-only"
            in refused.err
        )
        assert "mount it writable" in refused.err


@pytest.mark.parametrize(
    ("mode", "named"), [(0o666, "its folder {}, where SQLite"), (0o600, "the file may not")]
)
def test_a_file_or_folder_of_another_is_named(shop: CommandLine, mode: int, named: str) -> None:
    """What SQLite keeps beside its file is in its folder: a file that is ours to write is not enough."""
    if os.geteuid():
        pytest.skip("only root can be somebody else")
    with tempfile.TemporaryDirectory() as place:  # other than the folders of tests, which are private
        folder = Path(place)
        folder.chmod(0o755)
        shutil.copy(shop.database, folder / "books.db")
        (folder / "books.db").chmod(mode)
        os.seteuid(NOBODY)
        try:
            with pytest.raises(CallbackError, match=named.format(folder)):
                Database(f"sqlite:///{folder}/books.db")
        finally:
            os.seteuid(0)


def test_a_database_with_two_names_is_refused(shop: CommandLine) -> None:
    """SQLite and the locks go by the name: by another one a node that lives would seem dead."""
    shop.ok("backup", "books.tar.gz")
    (other := shop.folder / "other.db").hardlink_to(shop.database)
    for words in (("node", "list"), ("restore", "books.tar.gz", "--replace")):
        refused = shop(*words)
        assert (refused.code, "has 2 names (hard links)" in refused.err) in ((1, True), (2, True)), refused
    other.unlink()
    shop.ok("node", "list", "--json")


def test_a_copy_onto_itself_by_another_name_is_refused(shop: CommandLine) -> None:
    link = shop.folder / "link.db"
    link.symlink_to(shop.database)
    assert "the same database" in shop.refused("db", "copy", "--to", f"sqlite:///{link}")
