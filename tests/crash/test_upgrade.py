"""Nodes are upgraded one after another: the tables first, while services of the version before are at work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from world import World, new_world

from stasis_callback.store import models
from stasis_callback.store.audit import verify
from stasis_callback.store.database.database import MIGRATIONS
from stasis_callback.testing.fake import FakeNetwork

SUBSCRIBERS = [f"42021234500{n}" for n in range(6)]
OF_TOMORROW = """
def up(migrator, db):
    for table in {tables}:
        db.execute_sql(f"ALTER TABLE {{table}} ADD COLUMN of_tomorrow TEXT NOT NULL DEFAULT 'x'")
    db.execute_sql("CREATE TABLE tomorrow (id TEXT NOT NULL PRIMARY KEY)")
"""


@pytest.fixture
def world(fake_network: FakeNetwork, tmp_path: Path) -> Iterator[World]:
    with new_world(fake_network, tmp_path) as made:
        yield made


def upgrade(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `db upgrade` of a newer version does, which adds a column to every table there is."""
    shutil.copytree(MIGRATIONS, folder)
    names = [model._meta.table_name for model in models.ALL]
    (folder / "9999_of_tomorrow.py").write_text(OF_TOMORROW.format(tables=names))
    with monkeypatch.context() as newer:
        newer.setattr("stasis_callback.store.database.database.MIGRATIONS", folder)
        assert world.stores.database.migrate() == ["9999_of_tomorrow"]


def test_the_version_before_goes_on_working_while_and_after_the_tables_are_upgraded(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load: no request fails, none is lost, and a service that dies meanwhile starts again."""
    world.usual()
    friends = {}
    for n, number in enumerate(SUBSCRIBERS):
        world.account(number)
        friends[number] = f"44207946001{n}"
        world.phone(number).answers()
        world.phone(friends[number]).answers()

    def asks(number: str) -> None:
        answer = world.asks(number, friends[number], account=number, options={"dedupe_window_s": "0"})
        assert not answer.reason, answer

    def talk_and_hang_up(count: int) -> None:
        for number in SUBSCRIBERS:
            world.phone(friends[number]).wait_for("answered", call=count, timeout_s=60)
            world.phone(number).hang_up()

    with world.process(tmp_path) as process:
        with ThreadPoolExecutor(3) as crowd:
            first = [crowd.submit(asks, number) for number in SUBSCRIBERS[:3]]
            upgraded = crowd.submit(upgrade, world, tmp_path / "migrations", monkeypatch)
            rest = [crowd.submit(asks, number) for number in SUBSCRIBERS[3:]]
            for one in (*first, upgraded, *rest):
                one.result()
        talk_and_hang_up(1)
        assert {request.outcome for request in world.finished(6)} == {"completed"}
        process.kill()
        process.wait()
    with world.process(tmp_path):
        for number in SUBSCRIBERS:
            asks(number)
        talk_and_hang_up(2)
        assert {request.outcome for request in world.finished(12)} == {"completed"}
    assert world.stores.database.other_migrations() == ([], ["9999_of_tomorrow"])
    assert verify(world.stores.database, world.stores.tariffs) == []
    log = "".join(file.read_text() for file in tmp_path.glob("service-*.log"))
    assert '"level": "error"' not in log
