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
        "The money wall",
    ),
    "an entry put in by a statement in the web": (
        "web/pages.py",
        "from stasis_callback.store.database.statements import run\nrun('INSERT INTO entry (book_id) VALUES (1)')\n",
        "Tables and statements only in store",
    ),
    "a command that reads a table": (
        "admin/calls/calls.py",
        "def count():\n    from stasis_callback.store.calls.tables import Request\n    return Request.select()\n",
        "Tables and statements only in store",
    ),
    "a driver of the database in the mail": (
        "mail/desk.py",
        "import psycopg\n",
        "peewee and psycopg only in store",
    ),
    "an arrow back from accounts to calls": (
        "store/accounts/view.py",
        "from stasis_callback.store.calls.requests import Requests\n",
        "The rooms of the store",
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_reaches_through_a_wall_is_found(planted: str, tmp_path: Path) -> None:
    module, code, wall = PLANTED[planted]
    package = tmp_path / "stasis_callback"
    shutil.copytree(ROOT / "stasis_callback", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (package / module).open("a") as file:
        file.write(code)
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert broken == [f"{wall} BROKEN"], done.stdout
