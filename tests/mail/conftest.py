"""The mail server of the service on a socket, for each test that wants one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))  # shop.py

from mail_site import MailSite, open_mail_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[MailSite]:
    with open_mail_site(tmp_path) as made:
        yield made
