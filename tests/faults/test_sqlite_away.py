"""SQLite is locked by another process, or its disk is full. What is not stored does not sound like success."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from fault_rig import STAGES, TALK, Callers, Site, new_site, pause, unavailable
from world import ANI

from stasis_callback.clock import wait_until
from stasis_callback.testing.pstn import RealNetwork

pytestmark = [pytest.mark.real, pytest.mark.sqlite]


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """A transaction of another process, for example a backup or a command that hangs."""
    path = site.settings.database.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.fixture(params=[12, pytest.param(45, marks=pytest.mark.nightly)], ids="{}s".format)
def locked_s(request: pytest.FixtureRequest) -> float:
    return float(request.param)


def test_locked_when_the_friend_hangs_up(site: Site, locked_s: float) -> None:
    """The subscriber is offered another number or hung up on, and pays for no silence."""
    callers = Callers(site, (TALK,))
    site.node.start()
    callers.begin()
    pause(1)
    talk = callers[TALK]
    with locked(site):
        talk.friend.hang_up()
        heard = wait_until(lambda: not talk.up or talk.hears("another number"), timeout_s=min(locked_s, 15))
        assert heard, "silence"
        pause(locked_s - 10)
        callers.hang_up()
    site.finished()
    site.charged_as_lived()
    site.clean()


def test_locked_in_each_stage_and_every_call_goes_on(site: Site) -> None:
    callers = Callers(site)
    site.node.start()
    callers.begin()
    with locked(site):
        callers.each(lambda caller: caller.act())
        pause(8)
        assert [caller.stage for caller in callers.all if not caller.up] == []
    callers.each(lambda caller: caller.to_the_talk(timeout_s=30))
    pause(1)
    callers.hang_up()
    requests = site.finished(len(STAGES))
    assert {request.outcome for request in requests} == {"completed"}
    site.charged_as_lived()
    site.clean()


# --- a full disk -----------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with four megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    except subprocess.CalledProcessError as why:
        unavailable(why)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    junk = disk / "junk"
    with junk.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    try:
        yield
    finally:
        junk.unlink()


def test_the_disk_is_full_for_a_while(real_network: RealNetwork, small_disk: Path, tmp_path: Path) -> None:
    with new_site(real_network, small_disk) as site:
        site.node.folder = tmp_path  # the log has another disk
        callers = Callers(site, (TALK,))
        site.node.start()
        callers.begin()
        pause(1)
        talk = callers[TALK]
        caller = site.phone(ANI).answers().hangs_up(after_s=1)
        with full(small_disk):
            refusal = site.network.missed_call(ani=ANI, dnis="420800123456", gives_up_after_s=20)
            talk.friend.hang_up()
            heard = wait_until(lambda: not talk.up or talk.hears("another number"), timeout_s=15)
            assert heard, "silence"
            callers.hang_up()
        assert (refusal.sip_status, caller.calls) == (503, [])
        site.finished()
        site.until(lambda: site.rings().sip_status == 486, timeout_s=30)
        caller.wait_for("ended", timeout_s=20)
        site.finished(2)
        site.charged_as_lived()
        site.clean()
        assert len(caller.calls) == 1
