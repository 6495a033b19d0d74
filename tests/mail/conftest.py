"""The mail server of the service on a socket, for each test that wants one."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))  # shop.py

from mail_site import MailSite, open_mail_site
from world import World, new_world


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the pipe's user may use too."""
    with tempfile.TemporaryDirectory(prefix="stasis-callback-mail-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[MailSite]:
    with open_mail_site(tmp_path) as made:
        yield made


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest, folder: Path) -> Iterator[World]:
    with new_world(request.getfixturevalue(f"{request.param}_network"), folder) as made:
        yield made
