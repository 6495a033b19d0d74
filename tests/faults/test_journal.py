"""A talk ended while the service was dead, and its billing journal was rotated, removed, torn or cannot be read.

What the journal still says is charged, wherever it says it. Where it says nothing, the talk ended when the service
last knew it to live: an estimate, and the doubt goes to the subscriber.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_rig import TALK, Callers, Site, new_site, pause

from stasis_callback.clock import wait_until

LOOK_S = 6.0
"""The service says this often that it knows its calls to live (every five seconds), and a little more."""


def _older(path: Path, n: int) -> Path:
    return path.with_name(f"{path.name}.{n}")


def rotated(path: Path) -> None:
    path.rename(_older(path, 1))


def rotated_twice(path: Path) -> None:
    path.rename(_older(path, 2))
    _older(path, 1).touch()


def rotated_to_dates(path: Path) -> None:
    """As logrotate does with `dateext`."""
    path.rename(path.with_name(f"{path.name}-20261128"))


def copied_and_truncated(path: Path) -> None:
    shutil.copy(path, _older(path, 1))
    path.write_text("")


def torn_at_its_end(path: Path) -> None:
    """The last block was never written: the line stops in its last field."""
    content = path.read_bytes()
    path.write_bytes(content[:-20])


def removed(path: Path) -> None:
    path.unlink()


def replaced_by_a_folder(path: Path) -> None:
    """Nothing can be read there, as with wrong rights (which root does not feel)."""
    path.unlink()
    path.mkdir()


def _network(kind: str, spoil: Callable[[Path], None]) -> Any:
    marks = pytest.mark.real if kind == "real" else ()
    return pytest.param(kind, spoil, marks=marks, id=f"{kind}-{spoil.__name__}")


@pytest.fixture
def site(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Iterator[Site]:
    with new_site(request.getfixturevalue(f"{kind}_network"), tmp_path) as made:
        yield made


def _ended_while_nobody_looked(site: Site, spoil: Callable[[Path], None]) -> int:
    """The service dies, both hang up, the journal is spoilt, the service is started; when it died."""
    path = site.settings.asterisk.cel_path
    callers = Callers(site, (TALK,))
    site.node.start()
    callers.begin()
    pause(1)
    site.node.kill()
    died_us = site.service_clock_us()
    pause(1)
    callers.hang_up()
    ends = re.compile(rf'^"HANGUP",[^,]*,"{callers[TALK].request}-', re.MULTILINE)
    assert wait_until(lambda: len(ends.findall(path.read_text())) == 2, timeout_s=5)
    try:
        spoil(path)
        site.node.start()
        site.finished()
    finally:
        if path.is_dir():
            path.rmdir()
        for part in path.parent.glob(f"{path.name}*"):
            part.unlink()
        path.touch()
    return died_us


READABLE = [
    *(
        _network("fake", spoil)
        for spoil in (rotated, rotated_to_dates, copied_and_truncated, torn_at_its_end)
    ),
    _network("real", rotated_twice),
    _network("real", torn_at_its_end),
]


@pytest.mark.parametrize(("kind", "spoil"), READABLE)
def test_what_it_still_says_is_charged(site: Site, spoil: Callable[[Path], None]) -> None:
    _ended_while_nobody_looked(site, spoil)
    site.charged_as_lived()
    assert {xdr.source for xdr in site.xdr_list()} == {"cel"}
    site.clean()


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [_network("fake", removed), _network("fake", replaced_by_a_folder), _network("real", removed)],
)
def test_what_it_does_not_say_is_estimated(site: Site, spoil: Callable[[Path], None]) -> None:
    died_us = _ended_while_nobody_looked(site, spoil)
    site.charged_as_lived(until_us=died_us, less_s=LOOK_S)
    assert {xdr.source for xdr in site.xdr_list()} == {"estimated"}
    site.clean()
