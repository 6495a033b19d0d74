"""Files that commands write: each is there whole, or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from stasis_callback.core.errors import InvalidInput


def must_be_new(path: Path) -> None:
    """Raises InvalidInput if the file exists or its folder does not."""
    if os.path.lexists(path):
        raise InvalidInput(f"{path} already exists: choose a new file name")
    if not path.parent.is_dir():
        raise InvalidInput(f"{path} cannot be written: folder {path.parent} does not exist")


@contextmanager
def new_file(path: Path, mode: int = 0o666, *, replaces: bool = False) -> Iterator[BinaryIO]:
    """A file that is written beside its place, and gets its name once all of it is on the disk.

    Whatever fails, nothing of it stays, and an OSError names the file. What is there already, or comes meanwhile, is
    never overwritten (InvalidInput), unless this `replaces` it: then it gets the former one's owner and mode.
    """
    if replaces and path.exists() and not path.is_file():  # a pipe or a terminal
        with path.open("wb") as stream:
            yield stream
        return
    path = path.resolve() if replaces else path
    unfinished = path.with_name(f".unfinished-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
            if replaces and path.exists():
                _be_like(path, file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replaces:
            unfinished.replace(path)
        else:
            _name(unfinished, path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(unfinished)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Create a file readable only by its owner. Raises InvalidInput if it exists."""
    with new_file(path, 0o600) as file:
        file.write(text.encode())


def _be_like(former: Path, file: int) -> None:
    """Give a file the owner, as far as we may, and the mode of another."""
    known = former.stat()
    with suppress(PermissionError):
        os.fchown(file, known.st_uid, known.st_gid)
    os.fchmod(file, known.st_mode & 0o777)


def _name(unfinished: Path, path: Path) -> None:
    """Give a file its name, unless there is another of that name."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        must_be_new(path)
        raise
    except OSError:  # not every file system has hard links
        must_be_new(path)
        unfinished.rename(path)


def _sync_folder(folder: Path) -> None:
    """Have the name on the disk too, where that can be asked for."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
