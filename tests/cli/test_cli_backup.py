"""`backup` and `restore`: the books come back as they were, and nothing takes their place that must not."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import SUBSCRIBER, CommandLine
from databases import Databases, server
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stasis_callback.admin.node.backups import NOTE


def balance(shop: CommandLine) -> str:
    return str(shop.ok("account", "show", SUBSCRIBER, "--json").json["balance"])


def rewritten(backup: Path, *, without: str = "", note: str = "", database: bytes = b"") -> Path:
    """A copy of a backup in which something is different."""
    folder = backup.with_name("rewritten")
    with tarfile.open(backup) as archive:
        archive.extractall(folder, filter="data")
    if note:
        (folder / NOTE).write_text(note)
    if database:
        (folder / "database").write_bytes(database)
    other = backup.with_name("rewritten.tar.gz")
    with tarfile.open(other, "w:gz") as archive:
        for file in sorted(folder.iterdir()):
            if file.name != without:
                archive.add(file, file.name)
    return other


@pytest.fixture
def elsewhere(shop: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After this the settings name another place of the same kind, where nothing is."""
    former = shop.url
    if Databases.kind == "sqlite":
        shop.url = f"sqlite:///{shop.folder}/restored.db"
    else:
        assert shutil.which("pg_dump")
        shop.url = server().create(f"restored_{os.getpid()}")
    monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", shop.url)
    yield
    Databases.remove(shop.url)
    shop.url = former


def test_a_backup_is_private_and_says_what_is_not_in_it(shop: CommandLine) -> None:
    out = shop.ok("backup", "books.tar.gz").out
    assert stat.S_IMODE(Path("books.tar.gz").stat().st_mode) == 0o600
    assert "not in it: /etc/asterisk/local, the CEL journal" in out
    assert "already exists" in shop.refused("backup", "books.tar.gz")
    assert "does not exist" in shop.refused("backup", "nowhere/books.tar.gz")
    assert [file.name for file in shop.folder.iterdir() if "books" in file.name] == ["books.tar.gz"]


def test_a_backup_of_a_service_at_work_is_restored_elsewhere(
    shop: CommandLine, called: str, request: pytest.FixtureRequest
) -> None:
    with shop.stores() as stores:
        stores.nodes.enter()  # as a service that runs
        shop.folder.joinpath("beside").mkdir()
    shop.ok("backup", "books.tar.gz")
    before, rows = balance(shop), shop.ok("xdr", "list", "--json").out
    request.getfixturevalue("elsewhere")
    assert "its ledger is consistent" in shop.ok("restore", "books.tar.gz").out
    assert (balance(shop), shop.ok("xdr", "list", "--json").out) == (before, rows)
    assert shop.ok("ledger", "verify", "--whole").code == 0
    # Once is enough: a second time would go over what is there now.
    why = "give --replace" if Databases.kind == "sqlite" else "is not empty"
    assert why in shop.refused("restore", "books.tar.gz")


@pytest.mark.sqlite
def test_a_database_that_is_replaced_is_kept(shop: CommandLine) -> None:
    shop.ok("backup", "books.tar.gz")
    shop.ok("account", "topup", SUBSCRIBER, "5", "--key", "later")
    assert "exists: give --replace" in shop.refused("restore", "books.tar.gz")
    out = shop.ok("restore", "books.tar.gz", "--replace").out
    assert balance(shop) == "10.00"
    [kept] = shop.folder.glob("stasis-callback.db.before-*")
    assert f"kept as {kept}" in out
    assert stat.S_IMODE(shop.database.stat().st_mode) == 0o600
    shutil.move(kept, shop.database)
    assert balance(shop) == "15.00"


@pytest.mark.sqlite
def test_nothing_is_restored_under_a_running_service(shop: CommandLine) -> None:
    shop.ok("backup", "books.tar.gz")
    with shop.stores() as stores:
        stores.nodes.enter()
        node = stores.nodes.me.name
        lock = stores.nodes._lock
        stores.database.close()
        said = shop("restore", "books.tar.gz", "--replace")
        assert (said.code, said.err) == (
            2,
            f"error: node {node} is running on {shop.database}: stop its service first\n",
        )
        assert lock.held()
    shop.ok("restore", "books.tar.gz", "--replace")


@pytest.mark.sqlite
def test_a_machine_that_has_nothing_gets_the_settings_too(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STASIS_CALLBACK_DATABASE__URL")
    config = Path("stasis-callback.toml")
    config.write_text(re.sub(r"url = \"sqlite:.*", f'url = "{shop.url}"', config.read_text()))
    shop.ok("backup", "books.tar.gz")
    password = config.read_text().split('password = "')[1].split('"')[0]
    config.unlink()
    shop.database.unlink()
    assert "new.toml written" in shop.ok("restore", "books.tar.gz", "--settings", "new.toml").out
    assert stat.S_IMODE(Path("new.toml").stat().st_mode) == 0o600
    assert password in Path("new.toml").read_text()
    assert SUBSCRIBER in shop.ok("--config", "new.toml", "account", "list").out
    without = rewritten(shop.folder / "books.tar.gz", without="stasis-callback.toml")
    assert "has no settings" in shop.refused("restore", without, "--settings", "other.toml")
    said = shop(
        "restore", "books.tar.gz", "--settings", "other.toml"
    )  # where the settings say, something is now
    assert (said.code, Path("other.toml").exists()) == (2, False)


def test_what_is_no_backup_or_not_ours_is_refused(shop: CommandLine) -> None:
    shop.ok("backup", "books.tar.gz")
    whole = Path("books.tar.gz").read_bytes()
    assert "does not exist" in shop.refused("restore", "nothing.tar.gz")
    Path("half.tar.gz").write_bytes(whole[: len(whole) // 2])
    Path("text.tar.gz").write_text("no archive")
    for broken in ("half.tar.gz", "text.tar.gz"):
        assert "is not a complete backup" in shop.refused("restore", broken, "--replace")
    backup = shop.folder / "books.tar.gz"
    assert "is not a backup of stasis-callback" in shop.refused("restore", rewritten(backup, without=NOTE))
    note = json.loads((shop.folder / "rewritten" / NOTE).read_text())
    newer = json.dumps(note | {"migrations": [*note["migrations"], "9999_of_tomorrow"]})
    assert "by a newer version" in shop.refused("restore", rewritten(backup, note=newer))
    other = json.dumps(note | {"database": "postgresql" if Databases.kind == "sqlite" else "sqlite"})
    assert "then use `stasis-callback db copy`" in shop.refused("restore", rewritten(backup, note=other))


@pytest.mark.sqlite
def test_books_that_do_not_agree_are_not_restored(shop: CommandLine, called: str) -> None:
    shop.ok("backup", "books.tar.gz")
    shop.sql("DROP TRIGGER xdr_no_update")
    shop.sql("UPDATE xdr SET amount_micros = amount_micros + 1 WHERE side = 'a'")
    broken = rewritten(shop.folder / "books.tar.gz", database=shop.database.read_bytes())
    shop.ok("restore", "books.tar.gz", "--replace")
    assert "its ledger has" in shop.refused("restore", broken, "--replace")
    assert shop.ok("ledger", "verify", "--whole").code == 0


@pytest.mark.sqlite
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), is_cut=st.booleans())
@example(place=0.99999, bit=0, is_cut=True)  # the last byte
@example(place=0.0, bit=3, is_cut=True)  # all of it
@example(place=0.9999, bit=7, is_cut=False)  # its checksum
def test_a_backup_with_a_wrong_bit_or_without_its_end_is_refused_or_comes_back_the_same(
    shop: CommandLine, place: float, bit: int, is_cut: bool
) -> None:
    """The same: some bits of its beginning say nothing, such as the name of the system that it was made on."""
    backup = Path("books.tar.gz")
    if not backup.exists():
        shop.ok("backup", backup)
        shop.ok("restore", backup, "--replace")  # which notes how far the books were proven
        for kept in shop.folder.glob("*.before-*"):
            kept.unlink()
    content = bytearray(backup.read_bytes())
    at = int(place * len(content))
    if is_cut:
        del content[at:]
    else:
        content[at] ^= 1 << bit
    Path("damaged.tar.gz").write_bytes(content)
    before = shop.dump()
    said = shop("restore", "damaged.tar.gz", "--replace")
    assert shop.dump() == before
    if said.code or is_cut:
        assert said.code == 2
        assert said.err.startswith("error: damaged.tar.gz is not a complete backup: ")
        assert "nothing was restored, use another copy of it" in said.err
        assert [
            file for file in shop.folder.iterdir() if ".restore-" in file.name or ".before-" in file.name
        ] == []
    else:
        for kept in shop.folder.glob("*.before-*"):
            kept.unlink()


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("note", "database", "says"),
    [
        ("", b"no database", "its database is damaged"),
        ("no JSON", b"", "is not a backup of stasis-callback that this version can read"),
        ("[1]", b"", "is not a backup of stasis-callback that this version can read"),
    ],
)
def test_a_whole_archive_with_something_else_in_it_is_refused(
    shop: CommandLine, note: str, database: bytes, says: str
) -> None:
    shop.ok("backup", "books.tar.gz")
    other = rewritten(shop.folder / "books.tar.gz", note=note, database=database)
    said = shop.refused("restore", other, "--replace")
    assert str(other) in said
    assert says in said
