"""From nothing to an installation that the doctor is content with."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import ACCESS_NUMBER, SUBSCRIBER, CommandLine, levels, point_at
from databases import Databases

from stasis_callback.admin.node.findings import of_asterisk, of_machine
from stasis_callback.ari.client import AriClient
from stasis_callback.ari.link import AriLink
from stasis_callback.clock import wait_until
from stasis_callback.resources import asterisk_conf_dir, sounds_dir
from stasis_callback.testing.fake import FakeAsterisk
from stasis_callback.testing.phones import SECOND_TRUNK
from stasis_callback.testing.pstn import RealNetwork

# --- init, db, config --------------------------------------------------------------------------------------------


def test_init_writes_private_files_and_says_what_asterisk_needs(cli: CommandLine) -> None:
    out = cli.ok("init").out
    config = cli.folder / "stasis-callback.toml"
    [password] = [
        line.split('"')[1] for line in config.read_text().splitlines() if line.startswith("password")
    ]
    assert len(password) >= 32
    assert f"password = {password}" in out
    assert "[stasis-callback](ari-user)" in out
    assert str(asterisk_conf_dir()) in out
    for path in (config, cli.database):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    cli.ok("config", "check")
    assert cli.ok("account", "list", "--json").json == []


def test_two_installations_never_share_a_password(cli: CommandLine) -> None:
    cli.ok("init", "--dir", "one")
    cli.ok("init", "--dir", "two")
    assert Path("one/stasis-callback.toml").read_text() != Path("two/stasis-callback.toml").read_text()


def test_init_overwrites_nothing(cli: CommandLine) -> None:
    cli.ok("init")
    config = (cli.folder / "stasis-callback.toml").read_bytes()
    assert "already exists" in cli.refused("init")
    assert (cli.folder / "stasis-callback.toml").read_bytes() == config
    (cli.folder / "stasis-callback.toml").unlink()
    assert "stasis-callback.db already exists" in cli.refused("init")
    assert not (cli.folder / "stasis-callback.toml").exists()


def test_init_needs_a_folder_it_can_use(cli: CommandLine) -> None:
    (cli.folder / "file").touch()
    assert "file" in cli.refused("init", "--dir", "file")
    assert "No such file" in cli.refused("init", "--dir", "a/b/c")
    assert "not supported" in cli.refused("init", "--dir", "a\x1bb")


def test_a_folder_may_have_any_printable_name(cli: CommandLine) -> None:
    cli.ok("init", "--dir", 'quo"te \\ ü')
    cli.ok("--config", 'quo"te \\ ü/stasis-callback.toml', "account", "list", "--json")


def test_the_database_is_found_from_any_folder(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.ok("init", "--dir", "here")
    config = cli.folder / "here" / "stasis-callback.toml"
    monkeypatch.chdir("/")
    cli.ok("--config", config, "customer", "add", "Acme", "--currency", "USD")
    monkeypatch.setenv("STASIS_CALLBACK_CONFIG", str(config))
    assert "Acme" in cli.ok("customer", "list").out


NEED_A_DATABASE = [
    ["customer", "list"], ["tariff", "list"], ["rate", "list", "retail"], ["product", "list"], ["account", "list"],
    ["access-number", "list"], ["request", "list"], ["xdr", "list"], ["ledger", "verify"], ["run"],
    ["customer", "add", "Acme", "--currency", "USD"],
]  # fmt: skip


@pytest.mark.parametrize("words", NEED_A_DATABASE, ids=" ".join)
def test_without_an_installation_every_command_says_init(cli: CommandLine, words: list[str]) -> None:
    assert "run `stasis-callback init`" in cli.refused(*words)
    assert list(cli.folder.iterdir()) == []


def test_without_its_database_an_installation_says_db_upgrade(cli: CommandLine) -> None:
    cli.ok("init")
    cli.database.unlink()
    assert "`stasis-callback db upgrade` to create it" in cli.refused("account", "list")
    assert "db upgrade" in cli.refused("db", "status")
    assert "applied 0001" in cli.ok("db", "upgrade").out
    assert stat.S_IMODE(cli.database.stat().st_mode) == 0o600
    cli.ok("account", "list", "--json")


def test_tables_that_are_not_up_to_date_say_db_upgrade(cli: CommandLine) -> None:
    cli.ok("init")
    cli.database.write_bytes(b"")
    assert "run `stasis-callback db upgrade`" in cli.refused("account", "list")
    status = cli("db", "status", "--json")
    assert status.code == 1
    assert status.json["up_to_date"] is False
    assert "0001_first_tables" in status.json["pending"]
    cli.ok("db", "upgrade")
    assert cli.ok("db", "status", "--json").json["up_to_date"] is True
    assert "is up to date" in cli.ok("db", "upgrade").out


def test_what_is_no_database_is_refused(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.ok("init")
    monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", f"sqlite:///{cli.folder}/stasis-callback.toml")
    before = (cli.folder / "stasis-callback.toml").read_bytes()
    assert "cannot be opened" in cli.refused("account", "list")
    assert "cannot be opened" in cli.refused("db", "upgrade")
    assert (cli.folder / "stasis-callback.toml").read_bytes() == before
    monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", "mysql://root:secret@db/x")
    assert "secret" not in cli.refused("account", "list")
    monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", "sqlite:////nowhere/at/all.db")
    assert "does not exist" in cli.refused("db", "upgrade")


def test_the_settings_are_shown_without_secrets(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.ok("init")
    monkeypatch.setenv("STASIS_CALLBACK_ARI__PASSWORD", "hunter2")
    for words in (["config", "show"], ["config", "show", "--json"]):
        out = cli.ok(*words).out
        assert "hunter2" not in out
        assert "127.0.0.1:9" in out
    assert cli.ok("config", "show", "--json").json["settings"]["limits"]["queue"] == 1000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nodes = 1", "nodes"),
        ('node = "two words"', "node"),
        ("[limits]\nqueue = 0", "limits.queue"),
        ("[ari]\nurl = 'ftp://x'", "ari.url"),
        ("not toml at all", "cannot be read"),
        ("\udcff", "cannot be read"),
    ],
)
def test_settings_that_cannot_be_used_are_named(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, text: str, why: str
) -> None:
    monkeypatch.delenv("STASIS_CALLBACK_ARI__URL")
    (cli.folder / "stasis-callback.toml").write_bytes(text.encode(errors="surrogateescape"))
    assert why in cli.refused("config", "check")
    assert why in cli.refused("config", "show")
    assert why in cli.refused("run")


def test_an_environment_variable_that_cannot_be_read_is_refused(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_LIMITS", "{")
    assert "limits" in cli.refused("config", "check").lower()


# --- doctor ------------------------------------------------------------------------------------------------------


def connected(client: AriClient) -> AriLink:
    link = AriLink(
        client,
        on_unwatched=lambda event: None,
        on_connected=lambda: None,
        on_lost=lambda reason: None,
        on_replaced=lambda: None,
    )
    link.start()
    assert link.wait_connected(5)
    return link


@contextmanager
def running(shop: CommandLine) -> Iterator[None]:
    """A process that has the name of this node."""
    with shop.stores() as stores:
        stores.nodes.enter()
        lock = stores.nodes._lock
        stores.database.close()  # doctor opens it, and a process has one open at a time
        yield
        assert lock.held()


def test_the_doctor_is_content_once_the_service_is_connected(shop: CommandLine, fake: FakeAsterisk) -> None:
    result = shop("doctor")
    assert result.code == 1
    assert (
        "problem  the service is not connected to Asterisk\n         -> start the service (`systemctl start"
        in result.out
    )
    client = AriClient(fake.url, fake.username, fake.password, fake.app)
    link = connected(client)
    try:
        found = shop("doctor", "--json").json
        assert levels(found, "another process is connected as stasis-callback: node") == ["problem"]
        assert "start the service" not in str(found)
        with running(shop):
            result = shop("doctor")
            assert result.code == 0, result.out
            assert "problem" not in result.out
            assert shop.ok("doctor", "--json").json["ok"] is True
            assert shop.ok("doctor", "--quiet").out == ""
    finally:
        link.stop()
        client.close()


def test_the_doctor_never_advises_a_second_run(
    shop: CommandLine, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_WEB__ENABLED", "true")
    monkeypatch.setenv("STASIS_CALLBACK_WEB__PORT", "1")
    with running(shop):
        found = shop("doctor", "--json").json["findings"]
    missed = [
        f for f in found if "is not connected" in f["what"] or "does not answer at 127.0.0.1:1" in f["what"]
    ]
    assert len(missed) == 2
    assert all("its process is running" in f["advice"] for f in missed)
    assert "start the service" not in str(found)


def test_the_doctor_names_a_wrong_password(
    shop: CommandLine, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_ARI__PASSWORD", "wrong-one")
    result = shop("doctor")
    assert "local/ari.conf" in result.out
    assert "wrong-one" not in result.out


def test_the_doctor_finds_an_asterisk_that_is_away(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_at(monkeypatch, "http://127.0.0.1:1", "user", "word", tmp_path / "none" / "cel.csv")
    result = shop("doctor", "--json")
    assert result.code == 1
    assert levels(result.json, "no connection") == ["problem"]
    assert levels(result.json, "CEL journal") == ["problem"]
    assert (shop("doctor", "--quiet").code, shop("doctor", "--quiet").out) == (1, "")
    monkeypatch.setenv("STASIS_CALLBACK_ARI__URL", "http://user:word@127.0.0.1")
    assert levels(shop("doctor", "--json").json, "without user and password") == ["problem"]


def test_the_doctor_misses_a_module_and_dislikes_another(shop: CommandLine, fake: FakeAsterisk) -> None:
    fake.modules -= {"func_timeout.so", "cel_custom.so"}
    fake.modules |= {"bridge_native_rtp.so"}
    found = shop("doctor", "--json").json
    assert levels(found, "func_timeout.so") == ["problem"]
    assert levels(found, "cel_custom.so") == ["problem"]
    assert levels(found, "bridge_native_rtp.so") == ["warning"]


def test_the_doctor_looks_at_settings_and_database(
    cli: CommandLine, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.ok("access-number", "set", ACCESS_NUMBER, "--disabled")
    (cli.folder / "stasis-callback.toml").chmod(0o644)
    found = cli("doctor", "--json").json
    assert levels(found, "all users can read the password") == ["problem"]
    assert levels(found, "no access number is enabled") == ["warning"]
    if Databases.kind == "postgres":
        cli.sql("DELETE FROM schema_migration")
    else:
        cli.database.write_bytes(b"")
    assert levels(cli("doctor", "--json").json, "is not up to date") == ["problem"]
    # What a file can be that is no database.
    monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", f"sqlite:///{cli.database}")
    cli.database.write_bytes(b"no database at all" * 100)
    assert levels(cli("doctor", "--json").json, "cannot be opened") == ["problem"]
    cli.database.unlink()
    assert levels(cli("doctor", "--json").json, "stasis-callback.db does not exist") == ["problem"]
    assert not cli.database.exists()
    monkeypatch.setenv("STASIS_CALLBACK_ARI__PASSWORD", "")
    assert levels(cli("doctor", "--json").json, "no ARI password is set") == ["problem"]
    monkeypatch.setenv("STASIS_CALLBACK_NODE", "two words")
    assert levels(cli("doctor", "--json").json, "node") == ["problem"]


def test_the_doctor_looks_for_the_languages_in_use(
    shop: CommandLine, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(of_machine, "SOUND_FOLDERS", (tmp_path / "sounds",))
    assert levels(shop("doctor", "--json").json, "cannot check from this machine") == ["warning"]
    (tmp_path / "sounds" / "en").mkdir(parents=True)
    assert levels(shop("doctor", "--json").json, "Asterisk has no prompts in en") == ["problem"]
    (tmp_path / "sounds" / "en" / "stasis-callback").symlink_to(sounds_dir() / "en")
    assert levels(shop("doctor", "--json").json, "Asterisk has no prompts") == []
    with shop.stores() as stores:
        stores.access_numbers.change(ACCESS_NUMBER, {"languages": "en,xx"})
        stores.accounts.change(SUBSCRIBER, language="yy")
    stored = shop("doctor", "--json").json
    for language in ("xx", "yy"):
        assert levels(stored, f"there are no prompts in language '{language}'") == ["problem"]


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("22.10.1", "ok"),
        ("22.10.1~dfsg+~cs6.15.60671435-1", "ok"),
        ("22.11.0", "ok"),
        ("20.20.1", "ok"),
        ("23.4.1", "ok"),
        ("24.0.0", "ok"),
        ("22.10.0", "warning"),
        ("20.19.0", "warning"),
        ("21.12.0", "warning"),
        ("certified-20.7-cert3", "warning"),
        ("GIT-master", "warning"),
        ("18.26.1", "problem"),
    ],
)
def test_the_doctor_knows_which_asterisk_is_safe(version: str, level: str) -> None:
    assert of_asterisk.version_finding(version).level == level


def test_the_doctor_asks_for_nothing_that_our_configuration_does_not_load() -> None:
    loaded = (asterisk_conf_dir() / "modules.conf").read_text()
    for name in of_asterisk.NEEDED_MODULES:
        assert f"\nload = {name}\n" in loaded
    for name in of_asterisk.UNWANTED_MODULES:
        assert name not in loaded


@pytest.mark.real
def test_the_doctor_on_a_real_asterisk(
    shop: CommandLine, real_network: RealNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = real_network
    point_at(monkeypatch, network.ari_url, network.ari_username, network.ari_password, network.cel_path)
    client = AriClient(network.ari_url, network.ari_username, network.ari_password, network.ari_app)
    link = connected(client)
    try:
        # Whether its carrier can be reached Asterisk asks every second.
        with running(shop):
            assert wait_until(lambda: shop("doctor").code == 0, timeout_s=20), shop("doctor").out
        assert "PJSIP endpoint trunk exists" in shop("doctor").out
        monkeypatch.setenv("STASIS_CALLBACK_ASTERISK__TRUNK", "nowhere")
        assert levels(shop("doctor", "--json").json, "PJSIP endpoint nowhere does not exist") == ["problem"]
        with shop.stores() as stores:
            stores.trunks.add_vendor("carrier", "USD")
            for name in (SECOND_TRUNK, "missing", "switched-off"):
                stores.trunks.add(name, vendor="carrier", tariff="retail")
            stores.trunks.change("switched-off", enabled=False)
        found = shop("doctor", "--json").json
        assert levels(found, f"PJSIP endpoint {SECOND_TRUNK} exists") == ["ok"]
        assert levels(found, "PJSIP endpoint missing does not exist") == ["problem"]
        assert levels(found, "nowhere") == levels(found, "switched-off") == []
    finally:
        link.stop()
        client.close()
