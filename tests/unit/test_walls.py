"""The walls of the house hold: a module that reaches through one is found by `lint-imports`."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from stasis_callback.store import models, money
from stasis_callback.store.database.tables import Table

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
        "openpyxl and segno only in admin",
        "store/rates/spool.py",
        "import openpyxl\n",
        "stasis_callback.store.rates.spool -> openpyxl",
    ),
    "a driver of the database in the mail": (
        "the drivers of databases only in store",
        "mail/desk.py",
        "import psycopg\n",
        "stasis_callback.mail.desk -> psycopg",
    ),
    "an entry put in by a connection of the web's own": (
        "the drivers of databases only in store",
        "web/pages.py",
        "import sqlite3\nsqlite3.connect('a.db').execute('INSERT INTO entry VALUES (1)')\n",
        "stasis_callback.web.pages -> sqlite3",
    ),
    "a command that begins with a look at the books": (
        "The money wall",
        "__main__.py",
        "from stasis_callback.store.money.tables import Book\n",
        "stasis_callback.__main__ -> stasis_callback.store.money.tables",
    ),
    "a process that keeps a database of its own": (
        "the drivers of databases only in store",
        "process.py",
        "import sqlite3\n",
        "stasis_callback.process -> sqlite3",
    ),
    "a disk that counts requests": (
        "Tables and statements only in store",
        "disk.py",
        "from stasis_callback.store.calls.tables import Request\n",
        "stasis_callback.disk -> stasis_callback.store.calls.tables",
    ),
    "what was kept long enough, with the tables of the books": (
        "The list of all tables",
        "store/retention.py",
        "from stasis_callback.store.models import ALL\n",
        "stasis_callback.store.retention -> stasis_callback.store.models",
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
        "passwords and codes are compared only in store",
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
        "the web framework and what goes with it only in web and console",
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


SMUGGLED = {
    "a hold of the ledger's, in the web": (
        "web/pages.py",
        "from stasis_callback.store.money.ledger import Hold\nHold.create(leg='x')\n",
    ),
    "a hold of the ledger's, among the calls": (
        "store/calls/steps.py",
        "from stasis_callback.store.money.ledger import Hold\ninsert(Hold, leg_id='x')\n",
    ),
    "a hold of the list of all tables": (
        "store/retention.py",
        "from stasis_callback.store.models import Hold\nHold.delete().execute()\n",
    ),
    "the tables as the ledger names them": (
        "engine/funding.py",
        "from stasis_callback.store.money.ledger import _tables\n_tables.Hold.delete().execute()\n",
    ),
    "the ledger's module as a way to its tables": (
        "store/accounts/view.py",
        "from stasis_callback.store.money import ledger\nledger._tables.Hold.delete().execute()\n",
    ),
    "an entry put in by a statement among the calls": (
        "store/calls/doubts.py",
        "from stasis_callback.store.database.statements import run\nrun('INSERT INTO entry VALUES (1)')\n",
    ),
    "a statement over several lines": (
        "store/node/nodes.py",
        "from stasis_callback.store.database.statements import run\n"
        "run(f'''update\n  \"book\" SET {1} = 2''' + ' WHERE id = 3')\n",
    ),
    "a statement in two pieces": (
        "admin/node/nodes.py",
        "WHAT = 'DELETE FROM ' + 'transfer'\n",
    ),
}
"""What no arrow between modules shows, found by `smuggled`: the module, and what is written into it."""

TABLES = "Book|Hold|Transfer|Entry|Proof|ProofRound"
CHANGES = re.compile(
    r"\b(INSERT\s+(OR\s+\w+\s+)?INTO|REPLACE\s+INTO|MERGE\s+INTO|UPDATE(\s+ONLY)?|DELETE\s+FROM|TRUNCATE(\s+TABLE)?)"
    r"\s+[\"`\[]?(book|hold|transfer|entry)\b",
    re.IGNORECASE,
)
ABOVE_THE_WALL = ("store/money/", "store/audit/", "store/copying.py", "store/database/migrations/")
"""The ledger itself; what proves it, copies it, and made its tables."""


def smuggled(package: Path) -> Iterator[str]:
    """Ways to the tables of the books from outside their room: by a name of one of its modules, by a statement."""
    for path in sorted(package.rglob("*.py")):
        module = path.relative_to(package).as_posix()
        if not module.startswith(ABOVE_THE_WALL):
            for node in ast.walk(ast.parse(path.read_text())):
                if _names_a_table(node) or CHANGES.search(_text_of(node)):
                    yield f"{module}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)}"


def _names_a_table(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in ("_tables", "_money")
    rooms = ("stasis_callback.store.money", "stasis_callback.store.models")
    if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(rooms):
        return False
    return any(re.fullmatch(f"{TABLES}|_.*", name.name) for name in node.names)


def _text_of(node: ast.AST) -> str:
    """A string as it is put together, with `{}` for what is known only when it runs."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(_text_of, parts))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text_of(left) + _text_of(right)
    return "{}" if isinstance(node, ast.FormattedValue) else ""


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
    return " ".join(done.stdout.split())  # it breaks long lines


@pytest.mark.parametrize("planted", PLANTED)
def test_what_reaches_through_a_wall_is_found(planted: str, found: str) -> None:
    contract, _, _, arrow = PLANTED[planted]
    assert f"{contract} BROKEN" in found
    assert arrow in found


@pytest.mark.parametrize("planted", SMUGGLED)
def test_what_goes_around_the_money_wall_is_found(planted: str, tmp_path: Path) -> None:
    module, code = SMUGGLED[planted]
    path = tmp_path / module
    path.parent.mkdir(parents=True)
    path.write_text(code)
    assert list(smuggled(tmp_path))


def test_nothing_goes_around_the_money_wall() -> None:
    assert list(smuggled(ROOT / "stasis_callback")) == []


def test_no_module_of_the_books_offers_their_tables() -> None:
    names = [f"{money.__name__}.{module.name}" for module in pkgutil.iter_modules(money.__path__)]
    for module in [models, *map(importlib.import_module, names)]:
        tables = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type)
            and issubclass(value, Table)
            and value.__module__.startswith(money.__name__)
        ]
        assert tables == [] or module.__name__.endswith(".money.tables"), module


def test_every_contract_has_a_violation_that_breaks_it() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    assert {contract["name"] for contract in contracts} == {planted[0] for planted in PLANTED.values()}
