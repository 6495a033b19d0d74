"""`restore` and `db copy` while something has the database open: it would go on in a file that nobody reads again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from nodes import Node, free_port
from world import new_world

from stasis_callback.testing.fake import FakeNetwork

pytestmark = pytest.mark.sqlite
PARTS = {
    "service": ("run",),
    "web": ("run", "--only", "web"),
    "journal": ("run", "--only", "journal"),
    "console": ("console", "serve"),
}


@pytest.fixture
def node(fake_network: FakeNetwork, tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "world").mkdir()
    with new_world(fake_network, tmp_path / "world") as world:
        made = Node(world, tmp_path / "node")
        made.usual()
        made.config.write_text(f"{made.config.read_text()}[console]\nport = {free_port()}\n")
        world.stores.database.close()
        yield made


def command(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "stasis_callback", "--config", str(config), *words]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@contextmanager
def running(node: Node, words: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A part of the product as a process that is at work."""
    line = [sys.executable, "-m", "stasis_callback", "--config", str(node.config), *words]
    with node.log.open("ab") as log, subprocess.Popen(line, stdout=log, stderr=log) as process:
        try:
            started = "console.started" if words[0] == "console" else "service.started"
            node.world.until(lambda: bool(node.events(started)), timeout_s=60)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("part", PARTS)
def test_what_has_the_database_open_keeps_others_from_its_place(
    node: Node, part: str, tmp_path: Path
) -> None:
    books = str(tmp_path / "books.tar.gz")
    assert command(node.config, "backup", books).returncode == 0
    file = Path(node.world.settings.database.url.removeprefix("sqlite:///"))
    before = file.stat().st_ino
    with running(node, PARTS[part]) as process:
        for words in (
            ("restore", books, "--replace"),
            ("db", "copy", "--to", f"sqlite:///{tmp_path}/copy.db"),
        ):
            refused = command(node.config, *words)
            assert refused.returncode == 2, refused
            assert ("is running on" if part == "service" else "is in use: stop") in refused.stderr
        assert file.stat().st_ino == before
        process.terminate()
        assert process.wait(timeout=20) == 0
    done = command(node.config, "restore", books, "--replace")
    assert done.returncode == 0, done
    assert file.stat().st_ino != before


def test_a_node_is_the_same_by_whatever_link_its_database_is_named(node: Node, tmp_path: Path) -> None:
    """Its calls are not taken over, and no other database is put under it."""
    file = Path(node.world.settings.database.url.removeprefix("sqlite:///"))
    (tmp_path / "link.db").symlink_to(file)
    (tmp_path / "folder").symlink_to(file.parent)
    books = str(tmp_path / "books.tar.gz")
    assert command(node.config, "backup", books).returncode == 0
    with running(node, PARTS["service"]):
        for spelling in (tmp_path / "link.db", tmp_path / "folder" / file.name):
            other = tmp_path / "other.toml"
            other.touch(mode=0o600)
            other.write_text(node.config.read_text().replace(f"sqlite:///{file}", f"sqlite:///{spelling}"))
            (listed,) = json.loads(command(other, "node", "list", "--json").stdout)
            assert (listed["state"], listed["alive"]) == ("alive", True)
            taken = command(other, "node", "take-over", listed["name"], "--reason", "x")
            assert (taken.returncode, "alive" in taken.stderr) == (2, True), taken
            refused = command(other, "restore", books, "--replace")
            assert (refused.returncode, "is running on" in refused.stderr) == (2, True), refused
    replaced = command(other, "restore", books, "--replace")
    assert replaced.returncode == 0, replaced
    assert (tmp_path / "link.db").is_symlink()
    assert not file.is_symlink()
    assert len(list(file.parent.glob(f"{file.name}.before-*"))) >= 1


def test_a_start_waits_while_another_database_is_put_in_place(node: Node) -> None:
    from stasis_callback.store.backup import alone_at

    with alone_at(node.world.settings.database.url), node.run("--only", "web") as process:
        node.world.until(lambda: node.ready()[0] == 503, timeout_s=60)
        assert "in its place" in node.ready()[1]
        process.terminate()
        assert process.wait(timeout=20) == 0
