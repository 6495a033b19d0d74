"""Files that commands write: whole, or not there. On a full disk the command says which it was, and what to do."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import SUBSCRIBER, CommandLine
from databases import Databases
from disks import SmallDisk, bound_by_modes, small_disk

from stasis_callback.admin.files import new_file
from stasis_callback.admin.node import bundle
from stasis_callback.core.errors import InvalidInput
from stasis_callback.testing.fake import FakeAsterisk

ACCOUNTS = ("account", "generate", "3", "--customer", "Acme", "--product", "callback", "--batch", "spring")
VOUCHERS = ("voucher", "generate", "may", "--count", "3", "--amount", "5", "--currency", "USD")
COMMANDS = {
    "account.csv": (*ACCOUNTS, "--out"),
    "backup.tar.gz": ("backup",),
    "cards.html": (*VOUCHERS, "--out"),
    "checkpoint.json": ("ledger", "checkpoint", "--out"),
    "help.tar.gz": ("doctor", "--bundle"),
    "report.html": ("report", "page"),
    "statement.html": ("account", "statement", SUBSCRIBER, "--html"),
}


@pytest.fixture
def disk(shop: CommandLine) -> Iterator[SmallDisk]:
    """A disk beside that of the database."""
    with small_disk(shop.folder / "usb", size_bytes=4 << 20) as disk:
        yield disk


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_named_and_nothing_stays_on_it(
    shop: CommandLine, fake: FakeAsterisk, disk: SmallDisk, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "ASTERISK_LOG", shop.folder / "none")
    file = disk.folder / name
    disk.fill()
    done = shop(*COMMANDS[name], file)
    assert done.code == 2, done
    if name == "backup.tar.gz":  # its copy of the database comes first
        full = "disk is full" if Databases.kind == "sqlite" else "No space left on device"
        assert done.err.startswith(f"error: {file} was not written: ")
        assert full in done.err
    else:
        assert f"error: {file}: No space left on device: free some space on its disk" in done.err
    assert [left.name for left in disk.folder.iterdir()] == ["ballast"]
    disk.free()
    code = 1 if name == "help.tar.gz" else 0  # the doctor finds something
    assert shop(*COMMANDS[name], file).code == code
    assert [left.name for left in disk.folder.iterdir()] == [name]


def test_a_report_that_cannot_be_written_leaves_the_one_before(shop: CommandLine, disk: SmallDisk) -> None:
    file = disk.folder / "report.html"
    shop.ok("report", "page", file)
    before = file.read_bytes()
    disk.fill()
    assert "No space left on device" in shop.refused("report", "page", file)
    assert file.read_bytes() == before
    disk.free()
    shop.ok("report", "page", file, "--title", "Tuesday")
    assert "Tuesday" in file.read_text()


def test_a_folder_that_may_not_be_written_to_is_named(shop: CommandLine) -> None:
    (folder := shop.folder / "closed").mkdir(mode=0o500)
    with bound_by_modes():
        said = shop.refused(*COMMANDS["statement.html"], folder / "may.html")
    assert f"may not read or write {folder}/may.html: change its owner or mode" in said


# --- the one way to write them ------------------------------------------------------------------------------------


def test_a_file_gets_its_name_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "codes.csv"
    with new_file(path, 0o600) as file:
        file.write(b"code\n")
        assert not path.exists()
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"code\n", 0o600)

    def fails(error: type[BaseException]) -> None:
        with new_file(tmp_path / "other.csv") as file:
            file.write(b"half")
            raise error

    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error):
            fails(error)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False])
def test_what_came_meanwhile_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Also where a file system has no hard links, as that of a memory stick."""
    if not links:

        def none(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", none)
    path = tmp_path / "codes.csv"

    def comes_second() -> None:
        with new_file(path) as file:
            file.write(b"mine")
            path.write_text("another's")

    with pytest.raises(InvalidInput, match=r"codes\.csv already exists"):
        comes_second()
    assert path.read_text() == "another's"
    path.unlink()
    with new_file(path) as file:
        file.write(b"mine")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("codes.csv", "mine")]


def test_a_replaced_file_keeps_its_mode_and_what_leads_to_it(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    page, link = tmp_path / "www" / "page.html", tmp_path / "page.html"
    page.write_text("old")
    page.chmod(0o640)
    if not os.geteuid():
        os.chown(page, 33, 34)
    link.symlink_to(page)
    before = page.stat()
    with new_file(link, replaces=True) as file:
        file.write(b"new")
        assert page.read_text() == "old"
    after = page.stat()
    assert (page.read_text(), link.is_symlink()) == ("new", True)
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_what_is_no_file_is_written_to_as_it_is(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with new_file(pipe, replaces=True) as file:
        file.write(b"page")
    assert os.read(reader, 100) == b"page"
    os.close(reader)
    assert (stat.S_ISFIFO(pipe.stat().st_mode), list(tmp_path.iterdir())) == (True, [pipe])
