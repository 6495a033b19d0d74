"""Which tests run when. Of families that play one thing in many ways, a usual run leaves most ways to `make nightly`.

What is left in each run shows every kind once: each fault on the simulated Asterisk, each trigger on the real one,
one kill, one stop, one power cut, one language in a browser. Everything is run in the nightly lane.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

SELDOM = (
    # Scenarios of whole calls: real phones take their time. Commands and events are compared in tests/contract.
    r"calls/test_(?!callback|dnis|refusals|trigger_table)\w+\.py::.*\breal\b",
    r"calls/test_trigger_table\.py::.*real-(?!ani\]|pin\]|dnis\]|web hosted\])",
    # kill -9: at every point on the simulated Asterisk, in a talk and before its charge on the real one.
    r"crash/test_kill\.py::(?!.*(adopted_again|hang_up_and_settlement)).*\breal\b",
    r"crash/test_stages\.py::(?!.*stopped_in_a_talk).*\breal\b",
    r"crash/test_lost_logs\.py::.*(no_reader|full_disk)",
    # Faults of the real parts: one way each.
    r"faults/test_clock_steps\.py::.*(\[the service's|\[Asterisk's|funds\[)",
    r"faults/test_postgres_away\.py::.*(frozen|cut_off)\]",
    r"faults/test_random_hiccups\.py::.*-1\]",
    r"faults/test_restarts\.py::.*SIGTERM",
    r"faults/test_journal\.py::.*\[real-(?!removed)",
    # Browsers: each page and state on the simulated Asterisk, one whole call on the real one; two languages.
    r"web/test_browser\.py::(?!.*extended).*\breal\b",
    r"web/test_browser\.py::.*in_the_dark\[(es|fr|it)\]",
    r"console/test_console_browser\.py::.*\breal\b",
    # A mail server that is away, and what is wrong here: one of each.
    r"mail/test_postfix\.py::.*(mail_server_keeps_the_mail\[(?!x = )|first\[(?!\\n\.\\n))",
    r"mail/test_crash\.py::.*real-mail-data",
    # Recordings: the other languages.
    r"real/test_heard\.py::.*\[(es|fr|it|ru)\]",
)
_SELDOM = re.compile("|".join(f"(?:{pattern})" for pattern in SELDOM))


def is_seldom(nodeid: str) -> bool:
    """Whether a test is left to the nightly lane."""
    return _SELDOM.search(nodeid) is not None


# --- the order -----------------------------------------------------------------------------------------------------

LONGEST_FIRST = (
    "fake/test_hiccups", "crash/test_dead_nodes", "calls/test_every_option", "crash/test_kill", "calls/test_slices",
    "property/test_units_are_repeatable", "property/test_ledger_machine", "unit/test_postgres", "web/test_browser",
    "property/test_nodes_machine", "web/test_api", "faults/test_restarts", "soak", "cli/test_cli_calls",
    "faults", "crash", "simulation", "mail", "calls", "property", "real", "web", "fake", "console", "contract", "cli",
)  # fmt: skip
"""Files and folders whose tests take long: begun last, they would keep one worker busy while the others have nothing
to do.
"""


def turn(item: pytest.Item) -> int:
    """The place of a test's file among those of `LONGEST_FIRST`."""
    folder = item.path.parent.name
    for name in (f"{folder}/{item.path.stem}", folder):
        if name in LONGEST_FIRST:
            return LONGEST_FIRST.index(name)
    return len(LONGEST_FIRST)


# --- the pass on PostgreSQL ----------------------------------------------------------------------------------------

HERE = Path(__file__).parent
DATABASES = {"databases", "stasis_callback.testing.postgres"}
"""The modules from which a test gets a server's database, by itself or through another module of the tests."""


def reaches_the_database(item: pytest.Item) -> bool:
    """Whether a test, or a fixture that it uses, has a database; a pass on PostgreSQL repeats no other."""
    assert isinstance(item, pytest.Function)
    fixtures = (made.func for each in item._fixtureinfo.name2fixturedefs.values() for made in each)
    places = [item.function.__globals__, *(getattr(fixture, "__globals__", {}) for fixture in fixtures)]
    return any(_reaches(place) for place in places if place.get("__file__") != str(HERE / "conftest.py"))


_known: dict[str, bool] = {}


def _reaches(place: dict[str, object]) -> bool:
    """Whether a module of the tests, given by its names, uses one of `DATABASES`, however far away."""
    file = str(place.get("__file__"))
    if file not in _known:
        _known[file] = False  # for modules that use each other
        used = {
            getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in place.values()
        }
        used |= {value.__name__ for value in place.values() if isinstance(value, ModuleType)}
        _known[file] = HERE in Path(file).parents and (
            bool(used & DATABASES)
            or any(_reaches(vars(sys.modules[name])) for name in used if name in sys.modules)
        )
    return _known[file]
