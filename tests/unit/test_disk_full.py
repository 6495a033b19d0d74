"""A disk that is full: a write is refused whole, and works again as soon as there is room."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from databases import Databases, migrated, server

from stasis_callback.clock import Clock
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.store.audit import verify
from stasis_callback.store.stores import open_stores
from stasis_callback.testing.postgres import USER


@contextmanager
def small_disk(place: Path, megabytes: int, owner: str = "root") -> Iterator[Path]:
    """A disk of its own. Needs root; fails under CI without it, skips on a laptop."""
    user = pwd.getpwnam(owner)
    options = f"size={megabytes}m,uid={user.pw_uid},gid={user.pw_gid},mode=0700"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        if os.environ.get("CI"):
            pytest.fail(f"no disk can be mounted: {made.stderr}")
        pytest.skip(f"no disk can be mounted: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Within the block the disk is full."""
    junk = disk / "junk"
    try:
        with junk.open("wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                _fill(file.fileno(), size)
        yield
    finally:
        junk.unlink()


def _fill(file: int, size: int) -> None:
    while True:
        try:
            os.write(file, b"x" * size)
        except OSError as full:
            if full.errno != errno.ENOSPC:
                raise
            return


def refused_until_there_is_room(url: str, disk: Path) -> None:
    """Top-ups until one is refused; then there is room, and it is made. The books agree with what was said."""
    stores = open_stores(url, "node1", Clock())
    try:
        stores.tariffs.add("standard", "USD")
        stores.accounts.add_product("callback", "standard")
        stores.accounts.add_customer("people", "USD")
        account = stores.accounts.add("100", customer="people", product="callback")
        made: list[int] = []

        def top_up() -> bool:
            done = stores.ledger.top_up(account.book_id, 10_000, key=f"top-up-{len(made)}", note="x" * 200)
            made.append(10_000)
            return done

        def until_refused() -> None:
            while len(made) < 2000:
                top_up()

        with filled(disk):
            with pytest.raises(StoreUnavailable, match="the database is unavailable"):
                until_refused()
            assert stores.accounts.get(account.id).balance_micros == sum(made)
        assert top_up()
        assert stores.accounts.get(account.id).balance_micros == sum(made)
        assert verify(stores.database, stores.tariffs) == []
    finally:
        stores.database.close()


@pytest.mark.sqlite
def test_a_full_disk_refuses_a_write_whole(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        refused_until_there_is_room(Databases.new(disk), disk)


@pytest.mark.postgres
def test_a_full_disk_of_the_server_refuses_a_write_whole() -> None:
    """The disk of the tables. When that of its log is full, the server ends, and is away."""
    name, place = "on_a_small_disk", Path("/dev/shm") / f"stasis-callback-{os.getpid()}"
    owner = USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with small_disk(place, 24, owner) as disk:
        (disk / "tables").mkdir()
        shutil.chown(disk / "tables", owner, owner)
        server().sql(f"CREATE TABLESPACE small LOCATION '{disk / 'tables'}'")
        try:
            server().sql(f'CREATE DATABASE {name} TEMPLATE "{migrated()}" TABLESPACE small')
            refused_until_there_is_room(server().url(name), disk)
        finally:
            server().drop(name)
            server().sql("DROP TABLESPACE IF EXISTS small")
