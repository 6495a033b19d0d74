"""The walls of the house hold: a module that reaches through one is found by `lint-imports`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PLANTED = {
    "a hold put in outside the money room": (
        "store/calls/steps.py",
        "from stasis_callback.store.money.tables import Hold\ninsert(Hold, leg_id='x')\n",
        "stasis_callback.store.calls.steps -> stasis_callback.store.money.tables",
    ),
    "an entry put in by a statement in the web": (
        "web/pages.py",
        "from stasis_callback.store.database.statements import run\nrun('INSERT INTO entry VALUES (1)')\n",
        "stasis_callback.web.pages -> stasis_callback.store.database.statements",
    ),
    "a command that reads a table": (
        "admin/calls/calls.py",
        "def count():\n    from stasis_callback.store.calls.tables import Request\n    return Request.select()\n",
        "stasis_callback.admin.calls.calls -> stasis_callback.store.calls.tables",
    ),
    "a driver of the database in the mail": (
        "mail/desk.py",
        "import psycopg\n",
        "stasis_callback.mail.desk -> psycopg",
    ),
    "an arrow back from accounts to calls": (
        "store/accounts/view.py",
        "from stasis_callback.store.calls.requests import Requests\n",
        "stasis_callback.store.accounts.view -> stasis_callback.store.calls.requests",
    ),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the linter says of a copy of the house with all of them in it."""
    folder = tmp_path_factory.mktemp("house")
    package = folder / "stasis_callback"
    shutil.copytree(ROOT / "stasis_callback", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for module, code, _ in PLANTED.values():
        with (package / module).open("a") as file:
            file.write(code)
    command: list[str | Path] = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stdout


@pytest.mark.parametrize("planted", PLANTED)
def test_what_reaches_through_a_wall_is_found(planted: str, found: str) -> None:
    assert PLANTED[planted][2] in found
