"""The two telephone networks, started once for all tests: a fake Asterisk, and two real ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import profiles  # noqa: F401  how many examples hypothesis makes
import pytest
from argon2 import Parameters, PasswordHasher, extract_parameters
from databases import KINDS, Databases
from disks import MEMORY, has_room_in_memory
from guard import sitecustomize  # nothing of an installed machine is reached from here on
from lanes import is_seldom, reaches_the_database, turn
from pydantic_settings import InitSettingsSource

from stasis_callback.settings import ENVIRONMENT_PREFIX, PLACES, Settings
from stasis_callback.testing.asterisk import AsteriskUnavailable
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork
from stasis_callback.testing.pstn import RealNetwork, start_network

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Tests start hundreds of processes. Where compiled modules are not kept, each compiles all that it loads: seconds.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The processes that tests start are guarded like this one.
GUARD = str(Path(sitecustomize.__file__).parent)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (GUARD, os.environ.get("PYTHONPATH"))))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--db", choices=KINDS, default="sqlite", help="the database that the tests use")
    parser.addoption("--calls", type=int, default=40, help="how many callbacks tests/soak makes")
    parser.addoption("--callbacks", type=int, default=60, help="how many callbacks tests/cluster makes")


def pytest_configure(config: pytest.Config) -> None:
    Databases.kind = config.getoption("--db")
    if has_room_in_memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_unconfigure() -> None:
    Databases.close()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """What is about one kind of database is left out of a run on the other, and what takes minutes of a usual one."""
    for item in items:  # before pytest chooses by marks
        if is_seldom(item.nodeid):
            item.add_marker(pytest.mark.nightly)
    yield
    unwanted = ["postgres" if Databases.kind == "sqlite" else "sqlite"]
    if "nightly" not in config.getoption("markexpr"):
        unwanted.append("nightly")

    def is_wanted(item: pytest.Item) -> bool:
        marked = any(item.get_closest_marker(name) for name in unwanted)
        return not marked and (Databases.kind == "sqlite" or reaches_the_database(item))

    wanted: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (wanted if is_wanted(item) else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = wanted
    items.sort(key=turn)  # the order within a folder stays random


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A scenario that failed shows what its service logged: on another machine that is all there is to go by."""
    report = yield
    log = getattr(getattr(item, "funcargs", {}).get("world"), "log", None)
    if report.failed and log:
        report.sections.append(("log of the service", "\n".join(map(_line, log[-LOGGED_LINES:]))))
    return report


LOGGED_LINES = 60


def _line(event: dict[str, Any]) -> str:
    values = dict(event)
    level, name, at = (values.pop(key, "") for key in ("log_level", "event", "timestamp"))
    return f"{at:15} {level:7} {name:24} " + " ".join(f"{key}={value}" for key, value in values.items())


NOWHERE: dict[str, Any] = {
    "database": {"url": "sqlite:////nonexistent/stasis-callback.db"},
    "ari": {"url": "http://127.0.0.1:9"},
    "asterisk": {"console_path": "/nonexistent/asterisk.ctl", "cel_path": "/nonexistent/cel.csv"},
    "email": {"smtp_port": 9},
}
"""What the settings of a test say where it says nothing itself."""


@pytest.fixture(scope="session")
def _empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch, _empty_folder: Path) -> None:
    """No test reads the settings of a business that is installed here, nor reaches its database or its Asterisk.

    It is in an empty folder, without our variables in its environment; a setting that it does not give leads nowhere.
    What it would reach all the same, it or a process that it starts, is stopped by `guard`.
    """
    for name in [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(_empty_folder)
    monkeypatch.setattr("stasis_callback.settings.PLACES", PLACES[:1])
    monkeypatch.setattr("stasis_callback.admin.node.findings.of_machine.SOUND_FOLDERS", ())
    usual = Settings.settings_customise_sources

    def sources(*given: Any, **named: Any) -> tuple[Any, ...]:
        return (*usual(*given, **named), InitSettingsSource(Settings, NOWHERE))

    monkeypatch.setattr(Settings, "settings_customise_sources", sources)


@pytest.fixture
def hashes_compared(monkeypatch: pytest.MonkeyPatch) -> list[Parameters]:
    """What Argon2 was asked to compare with, one after the other: the time an answer takes is that of this work.

    A busy machine takes more time than that for anything; so the work is looked at, not a watch.
    """
    compared: list[Parameters] = []
    usual = PasswordHasher.verify

    def verify(hasher: PasswordHasher, hashed: str, password: str) -> bool:
        compared.append(extract_parameters(hashed))
        return usual(hasher, hashed, password)

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    return compared


@pytest.fixture(scope="session")
def fake_network() -> Iterator[FakeNetwork]:
    with FakeAsterisk(speed=4) as fake:
        yield FakeNetwork(fake)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real Chromium, one for all tests: a process can have one playwright at a time."""
    sys.path.insert(0, str(Path(__file__).parent / "web"))
    from browsing import start
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = start(playwright)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def real_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNetwork]:
    """Fails under CI where no Asterisk can be started; skips on a laptop."""
    try:
        with start_network(tmp_path_factory.mktemp("network")) as network:
            yield network
    except AsteriskUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))
