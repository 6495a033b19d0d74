"""The walls of the house hold: a module that reaches through one is found by `lint-imports`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PLANTED = {
    "a hold put in outside the money room": (
        "The money wall",
        "store/calls/steps.py",
        "from stasis_callback.store.money.tables import Hold\ninsert(Hold, leg_id='x')\n",
        "stasis_callback.store.calls.steps -> stasis_callback.store.money.tables",
    ),
    "an entry put in by a statement in the web": (
        "Tables and statements only in store",
        "web/pages.py",
        "from stasis_callback.store.database.statements import run\nrun('INSERT INTO entry VALUES (1)')\n",
        "stasis_callback.web.pages -> stasis_callback.store.database.statements",
    ),
    "a command that reads a table": (
        "Tables and statements only in store",
        "admin/calls/calls.py",
        "def count():\n    from stasis_callback.store.calls.tables import Request\n    return Request.select()\n",
        "stasis_callback.admin.calls.calls -> stasis_callback.store.calls.tables",
    ),
    "a spreadsheet in the store": (
        "openpyxl only in admin",
        "store/rates/spool.py",
        "import openpyxl\n",
        "stasis_callback.store.rates.spool -> openpyxl",
    ),
    "a driver of the database in the mail": (
        "peewee and psycopg only in store",
        "mail/desk.py",
        "import psycopg\n",
        "stasis_callback.mail.desk -> psycopg",
    ),
    "an arrow back from accounts to calls": (
        "The rooms of the store",
        "store/accounts/view.py",
        "from stasis_callback.store.calls.requests import Requests\n",
        "stasis_callback.store.accounts.view -> stasis_callback.store.calls.requests",
    ),
    "a conversation that asks the engine": (
        "Layers",
        "ivr/dialog.py",
        "from stasis_callback.engine.routing import Router\n",
        "stasis_callback.ivr.dialog -> stasis_callback.engine.routing",
    ),
    "a rule that reads the clock": (
        "core is pure: standard library and phonenumbers, no clock",
        "core/rating.py",
        "from stasis_callback.clock import Clock\n",
        "stasis_callback.core.rating -> stasis_callback.clock",
    ),
    "a password that is compared in the web": (
        "argon2 only in store",
        "web/desk.py",
        "import argon2\n",
        "stasis_callback.web.desk -> argon2",
    ),
    "events of Asterisk read by the engine": (
        "websocket only in ari",
        "engine/dialer.py",
        "import websocket\n",
        "stasis_callback.engine.dialer -> websocket",
    ),
    "a store that prints": (
        "typer only in admin",
        "store/calls/reports.py",
        "import typer\n",
        "stasis_callback.store.calls.reports -> typer",
    ),
    "an answer to a browser written by the engine": (
        "the web framework and what goes with it only in web",
        "engine/session.py",
        "import fastapi\n",
        "stasis_callback.engine.session -> fastapi",
    ),
    "a mail sent by a store": (
        "what speaks and reads mail only in mail",
        "store/intake/replies.py",
        "import imapclient\n",
        "stasis_callback.store.intake.replies -> imapclient",
    ),
    "a number read in the web": (
        "one reader of numbers",
        "web/pages.py",
        "import phonenumbers\n",
        "stasis_callback.web.pages -> phonenumbers",
    ),
    "a service that starts a simulated Asterisk": (
        "the product never imports its own test kit",
        "service.py",
        "from stasis_callback.testing.fake import FakeAsterisk\n",
        "stasis_callback.service -> stasis_callback.testing.fake",
    ),
}
"""The contract that is broken, the module, what is written into it, and the import that the linter must name."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the linter says of a copy of the house with all of them in it."""
    folder = tmp_path_factory.mktemp("house")
    package = folder / "stasis_callback"
    shutil.copytree(ROOT / "stasis_callback", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for _, module, code, _ in PLANTED.values():
        path = package / module
        path.write_text(path.read_text() + code)
    command: list[str | Path] = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stdout


@pytest.mark.parametrize("planted", PLANTED)
def test_what_reaches_through_a_wall_is_found(planted: str, found: str) -> None:
    contract, _, _, arrow = PLANTED[planted]
    assert f"{contract} BROKEN" in found
    assert arrow in found


def test_every_contract_has_a_violation_that_breaks_it() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    assert {contract["name"] for contract in contracts} == {planted[0] for planted in PLANTED.values()}
