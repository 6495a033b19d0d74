"""The command line as tests use it: one call in this process, and what the database holds before and after."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stasis_callback import __main__  # noqa: F401 - registers `run`
from stasis_callback.admin.app import execute
from stasis_callback.clock import Clock
from stasis_callback.settings import host_name
from stasis_callback.store import models
from stasis_callback.store.database.tables import bound_database, keys_of
from stasis_callback.store.stores import Stores, open_stores

SUBSCRIBER = "420212345678"
ACCESS_NUMBER = "420800123456"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """Runs commands in `folder`, which holds (or will hold) the settings and the database."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.database = folder / "stasis-callback.db"
        self.url = f"sqlite:///{self.database}"
        self._capsys = capsys

    def __call__(self, *words: str | Path) -> Result:
        """Run a command."""
        self._capsys.readouterr()
        code = execute([str(word) for word in words])
        captured = self._capsys.readouterr()
        return Result(code, captured.out, captured.err)

    def ok(self, *words: str | Path) -> Result:
        """Run a command that has to succeed in silence on standard error."""
        result = self(*words)
        assert (result.code, result.err) == (0, ""), result
        return result

    def refused(self, *words: str | Path) -> str:
        """Run a command that has to be refused: exit 2, one sentence, and not a row is different; the sentence."""
        before = self.dump()
        result = self(*words)
        assert (result.code, result.out) == (2, ""), result
        assert self.dump() == before
        assert result.err.startswith("error: "), result
        assert result.err.count("\n") == 1, result
        assert len(result.err) < 700
        assert result.err.removesuffix("\n").isprintable()
        return result.err.removeprefix("error: ")

    @contextmanager
    def stores(self) -> Iterator[Stores]:
        """The stores, for changes that no command makes."""
        stores = open_stores(self.url, host_name(), Clock())
        try:
            yield stores
        finally:
            stores.nodes._lock.release()  # as a process that ends does
            stores.database.close()

    def dump(self) -> list[str]:
        """Every row of every table; on a server without the notes of how far the books were proven, which `db copy`
        makes as well.
        """
        if self.url.startswith("postgresql:"):
            with self.stores() as stores, stores.database.reading():
                return [
                    str(row)
                    for model in models.ALL
                    if model.__name__ not in ("Proof", "ProofRound")
                    for row in model.select().order_by(*keys_of(model)).tuples()
                ]
        if not self.database.exists():
            return []
        connection = sqlite3.connect(self.database)
        try:
            # But for the counters of ids: those that were given to rows of a draft are not given again.
            return [line for line in connection.iterdump() if "sqlite_sequence" not in line]
        finally:
            connection.close()

    def sql(self, statement: str) -> None:
        """Change the database behind the product's back."""
        with self.stores() as stores, stores.database.transaction():
            bound_database.execute_sql(statement)


def levels(result_json: dict[str, list[dict[str, str]]], part: str) -> list[str]:
    """The levels of the doctor's findings that contain these words."""
    return [f["level"] for f in result_json["findings"] if part in f["what"]]


def point_at(monkeypatch: pytest.MonkeyPatch, url: str, user: str, password: str, cel_path: Path) -> None:
    """Write the address of this Asterisk into the settings."""
    monkeypatch.setenv("STASIS_CALLBACK_ARI__URL", url)
    monkeypatch.setenv("STASIS_CALLBACK_ARI__USERNAME", user)
    monkeypatch.setenv("STASIS_CALLBACK_ARI__PASSWORD", password)
    monkeypatch.setenv("STASIS_CALLBACK_ASTERISK__CEL_PATH", str(cel_path))
