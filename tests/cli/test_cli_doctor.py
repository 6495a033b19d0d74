"""What the doctor knows of running installations: each thing is broken on purpose."""

from __future__ import annotations

import json
import pwd
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from command_line import ACCESS_NUMBER, SUBSCRIBER, CommandLine, levels, point_at
from databases import Databases
from disks import bound_by_modes, small_disk

from stasis_callback import resources
from stasis_callback.admin.node import bundle
from stasis_callback.admin.node.findings import of_machine
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.ivr.prompts import Prompts, missing_sounds
from stasis_callback.resources import sounds_dir
from stasis_callback.store.calls import doubts
from stasis_callback.testing.fake import FakeAsterisk


def line(kind: str, at_s: float, channel: str) -> str:
    return f'"{kind}","{at_s:.6f}","{channel}","{channel}",""\n'


# --- the database ---------------------------------------------------------------------------------------------


def test_a_disk_that_is_nearly_full(
    shop: CommandLine, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_DATABASE__FREE_LIMIT_MB", "1000000")
    found = shop("doctor", "--json")
    assert found.code == 1
    where = "MB free"
    if Databases.kind == "sqlite":  # the journal's disk too
        assert levels(found.json, where) == ["problem", "problem"]
    else:
        assert levels(found.json, where) == ["problem"]


def test_a_database_of_a_newer_version(shop: CommandLine, fake: FakeAsterisk) -> None:
    """It has only added something: other nodes are upgraded already, this one works on. Then it takes away."""
    of_tomorrow = "INSERT INTO schema_migration (name, applied) VALUES ('{}', '2030-01-01 00:00:00')"
    shop.sql(of_tomorrow.format("9998_of_tomorrow"))
    said = "upgraded by a newer version of stasis-callback ({})"
    assert levels(shop("doctor", "--json").json, said.format("9998_of_tomorrow")) == ["warning"]
    shop.ok("account", "list")
    assert shop("db", "status", "--json").json["newer"] == ["9998_of_tomorrow"]
    assert said.format("9998_of_tomorrow") in shop.refused(
        "db", "copy", "--to", f"sqlite:///{shop.folder}/new.db"
    )
    shop.sql(of_tomorrow.format("9999_of_tomorrow_after"))
    assert levels(shop("doctor", "--json").json, said.format("9999_of_tomorrow_after")) == ["problem"]
    assert said.format("9999_of_tomorrow_after") in shop.refused("account", "list")


def test_an_account_whose_own_number_has_no_rate(shop: CommandLine, fake: FakeAsterisk) -> None:
    said = "cannot be called back, for example 33123456789: no rate for their number"
    shop.ok("account", "add", "33123456789", "--customer", "Acme", "--product", "callback")
    assert levels(shop("doctor", "--json").json, said) == ["warning"]
    shop.ok("account", "set", "33123456789", "--status", "blocked")
    assert levels(shop("doctor", "--json").json, said) == []


def test_what_is_set_aside_and_alarms_that_reach_nobody(
    shop: CommandLine, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.ok("fraud", "set-aside", "country:LV", "--note", "a wave of wangiri")
    monkeypatch.setenv("STASIS_CALLBACK_FRAUD__ALARM_WEBHOOK", "crm")
    monkeypatch.setenv("STASIS_CALLBACK_FRAUD__ALARM_MAIL_TO", "noc@calls.example")
    found = shop("doctor", "--json").json
    for said in ("has set aside 1", "'crm' is not a web instance", "'' is not an e-mail instance"):
        assert levels(found, said) == ["warning"]


@pytest.mark.sqlite
def test_a_disk_that_is_full(
    shop: CommandLine, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", size_bytes=4 << 20) as disk:
        shutil.copy(shop.database, disk.folder / "full.db")
        monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", f"sqlite:///{disk.folder}/full.db")
        disk.fill()
        found = shop("doctor", "--json")
        assert found.code == 1
        assert levels(found.json, "has only 0 MB free") == ["problem"]


@pytest.mark.sqlite
def test_a_file_that_cannot_be_written(
    shop: CommandLine, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doubts, "PATIENCE_S", 0.1)
    with small_disk(tmp_path / "disk", size_bytes=16 << 20) as disk:
        shutil.copy(shop.database, disk.folder / "kept.db")
        monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", f"sqlite:///{disk.folder}/kept.db")
        subprocess.run(["mount", "-o", "remount,ro", str(disk.folder)], check=True)
        found = shop("doctor", "--json")
        assert found.code == 1
        assert levels(found.json, "the database") == ["problem"]


@pytest.mark.postgres
def test_a_server_that_is_read_only(shop: CommandLine, fake: FakeAsterisk) -> None:
    name = shop.url.rsplit("/", 1)[1]
    shop.sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    found = shop("doctor", "--json")
    assert found.code == 1
    assert levels(found.json, "is read-only: the server is a standby") == ["problem"]


def test_call_records_in_doubt(shop: CommandLine, fake: FakeAsterisk, called: str) -> None:
    assert levels(shop("doctor", "--json").json, "of the last day") == []
    _rewrite(
        shop, "UPDATE xdr SET source = 'estimated' WHERE side = 'b'", "UPDATE xdr SET clock_suspect = TRUE"
    )
    found = shop("doctor", "--json").json
    assert levels(found, "1 call record(s) of the last day are estimated") == ["warning"]
    assert levels(found, "2 call record(s) of the last day were charged while a clock was stepped") == [
        "warning"
    ]
    _rewrite(shop, "UPDATE xdr SET created_at_us = created_at_us - 90000000000")
    assert levels(shop("doctor", "--json").json, "of the last day") == []


def _rewrite(shop: CommandLine, *statements: str) -> None:
    """Change call records, although their table is append-only."""
    if Databases.kind == "sqlite":
        shop.sql("DROP TRIGGER IF EXISTS xdr_no_update")
    else:
        shop.sql("ALTER TABLE xdr DISABLE TRIGGER USER")
    for statement in statements:
        shop.sql(statement)


# --- the journal ----------------------------------------------------------------------------------------------


def test_a_journal_that_cannot_be_read(shop: CommandLine, fake: FakeAsterisk, tmp_path: Path) -> None:
    (tmp_path / "cel.csv").unlink()
    (tmp_path / "cel.csv").mkdir()
    assert levels(shop("doctor", "--json").json, "cannot be read: Is a directory") == ["problem"]
    (tmp_path / "cel.csv").rmdir()


def test_a_journal_that_is_not_written_though_calls_ended(
    shop: CommandLine, fake: FakeAsterisk, called: str, tmp_path: Path
) -> None:
    path, leg = tmp_path / "cel.csv", f"{called}-a1"
    now_s = Clock().now_us() / US_PER_S
    assert levels(shop("doctor", "--json").json, f"does not contain leg {leg}") == ["problem"]
    path.write_text(line("CHAN_START", now_s - 300, "another") + line("HANGUP", now_s, "another"))
    assert levels(shop("doctor", "--json").json, f"does not contain leg {leg}") == ["problem"]
    path.write_text(line("HANGUP", now_s, "another"))  # begun after that call: it says nothing
    assert levels(shop("doctor", "--json").json, "CEL journal") == ["ok"]
    path.write_text(line("CHAN_START", now_s - 300, "another") + line("HANGUP", now_s, leg))
    assert levels(shop("doctor", "--json").json, "CEL journal") == ["ok"]


# --- what Asterisk may read -----------------------------------------------------------------------------------


def test_a_file_that_asterisk_may_not_read(
    shop: CommandLine, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(of_machine, "ASTERISK_ETC", tmp_path / "etc")
    me = pwd.getpwuid(65534)  # as whom Asterisk runs, for this test
    monkeypatch.setattr("stasis_callback.admin.node.findings.of_machine.pwd.getpwnam", lambda name: me)
    local = tmp_path / "etc" / "local"
    local.mkdir(parents=True)
    (local / "pjsip.conf").write_text("[trunk](carrier)\n")
    (local / "pjsip.conf").chmod(0o600)
    assert levels(shop("doctor", "--json").json, f"Asterisk may not read {local}/pjsip.conf") == ["problem"]
    (local / "pjsip.conf").chmod(0o644)
    assert levels(shop("doctor", "--json").json, "Asterisk may not read") == []


# --- service and Asterisk -------------------------------------------------------------------------------------


class Ahead(Clock):
    """A clock that is ahead."""

    def now_us(self) -> int:
        return super().now_us() + 7 * US_PER_S


def test_an_asterisk_whose_clock_is_wrong(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with FakeAsterisk(cel_dir=tmp_path, clock=Ahead()) as fake:
        point_at(monkeypatch, fake.url, fake.username, fake.password, tmp_path / "cel.csv")
        found = shop("doctor", "--json").json
    assert levels(found, "s ahead of this machine") == ["problem"]
    said = re.search(r"Asterisk's clock is (\d+\.\d) s ahead", json.dumps(found))
    assert said is not None
    assert float(said[1]) == pytest.approx(7, abs=0.5)


def test_a_web_server_that_is_not_there(
    shop: CommandLine, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_WEB__ENABLED", "true")
    monkeypatch.setenv("STASIS_CALLBACK_WEB__PORT", "1")
    found = shop("doctor", "--json")
    assert found.code == 1
    assert levels(found.json, "the service does not answer at 127.0.0.1:1: Connection refused") == ["problem"]
    monkeypatch.setenv("STASIS_CALLBACK_WEB__PORT", str(urlsplit(fake.url).port))
    assert levels(shop("doctor", "--json").json, "another program answers") == ["problem"]


# --- trunks ---------------------------------------------------------------------------------------------------


BROKEN = [
    # section, option, value (None: the section is gone), level, what is said
    ("endpoint", "", None,                          "problem", "PJSIP endpoint trunk does not exist"),
    ("endpoint", "direct_media", "true",            "problem", "trunk has direct_media"),
    ("endpoint", "rtp_timeout", "0",                "problem", "trunk has no rtp_timeout:"),
    ("endpoint", "rtp_timeout", "120",              "problem", "trunk has rtp_timeout = 120"),
    ("endpoint", "rtp_timeout_hold", "0",           "problem", "trunk has no rtp_timeout_hold:"),
    ("endpoint", "timers", "no",                    "warning", "trunk has no session timers"),
    ("endpoint", "aors", "",                        "problem", "trunk has no aor"),
    ("aor", "", None,                               "problem", "trunk has no aor"),
    ("aor", "qualify_frequency", "0",               "warning", "the carrier of trunk trunk is not monitored"),
    ("identify", "", None,                          "warning", "no identify section trunk-in"),
    ("identify", "endpoint", "second",              "problem", "section of trunk trunk leads to endpoint second"),
    ("identify", "endpoint", "trunk",               "warning", "to endpoint trunk, which takes some codecs"),
    ("identify", "match", "192.0.2.0/255.255.255.0", "warning", "section trunk does not match sip:127.0.0.1"),
]  # fmt: skip


def test_trunks_that_are_configured_as_shipped(shop: CommandLine, fake: FakeAsterisk) -> None:
    found = shop("doctor", "--json").json
    assert [row for row in BROKEN if levels(found, row[-1])] == []


@pytest.mark.parametrize(("section", "option", "value", "level", "said"), BROKEN)
def test_a_trunk_that_is_configured_wrongly(
    shop: CommandLine,
    fake: FakeAsterisk,
    section: str,
    option: str,
    value: str | None,
    level: str,
    said: str,
) -> None:
    if value is None:
        del fake.pjsip[section, "trunk"]
    else:
        fake.pjsip[section, "trunk"][option] = value
    assert levels(shop("doctor", "--json").json, said) == [level]


def test_a_trunk_whose_carrier_is_unreachable(shop: CommandLine, fake: FakeAsterisk) -> None:
    assert levels(shop("doctor", "--json").json, "PJSIP endpoint trunk exists") == ["ok"]
    fake.unreachable.add("trunk")
    found = shop("doctor", "--json").json  # after 0 s and not 60: Asterisk may not have asked yet
    assert levels(found, "could not check yet whether the carrier of trunk trunk can") == ["warning"]
    assert levels(found, "unreachable") == []
    fake.switch.started_us -= 64 * US_PER_S
    found = shop("doctor", "--json").json
    assert levels(found, "trunk trunk is unreachable: sip:127.0.0.1:5070 does") == ["problem"]
    assert levels(found, "PJSIP endpoint trunk exists") == []


def test_missed_calls_that_lead_to_an_endpoint_that_is_not_there(
    shop: CommandLine, fake: FakeAsterisk
) -> None:
    there = fake.pjsip.pop(("endpoint", "trunk-in"))
    said = "leads to endpoint trunk-in, which does not exist"
    assert levels(shop("doctor", "--json").json, said) == ["problem"]
    fake.pjsip["endpoint", "trunk-in"] = there | {"media_use_received_transport": "false"}
    found = shop("doctor", "--json").json
    assert levels(found, said) == []
    assert levels(found, "to endpoint trunk-in, which takes some codecs or transports only") == ["warning"]


def test_missed_calls_of_a_trunk_that_registers(shop: CommandLine, fake: FakeAsterisk) -> None:
    del fake.pjsip["identify", "trunk"]
    fake.pjsip["registration", "trunk"] = {"line": "true", "endpoint": "trunk-in"}
    assert levels(shop("doctor", "--json").json, "identify section trunk-in") == []
    fake.pjsip["registration", "trunk"]["endpoint"] = "trunk"
    found = shop("doctor", "--json").json
    assert levels(found, "registration section trunk leads to endpoint trunk, which takes") == ["warning"]


def test_modules_that_are_not_there(shop: CommandLine, fake: FakeAsterisk) -> None:
    fake.modules -= {"res_srtp.so", "app_amd.so"}
    assert levels(shop("doctor", "--json").json, "not running: app_amd.so, res_srtp.so") == ["warning"]
    shop.ok("access-number", "set", ACCESS_NUMBER, "--set", "answer_check=amd")
    found = shop("doctor", "--json").json
    assert levels(found, "app_amd.so, which tells persons from voicemail") == ["problem"]
    assert levels(found, "shipped configuration are not running: res_srtp.so") == ["warning"]


def test_core_sounds_that_are_not_installed(
    shop: CommandLine, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(of_machine, "SOUND_FOLDERS", (tmp_path,))
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "stasis-callback").symlink_to(sounds_dir() / "en")
    assert levels(shop("doctor", "--json").json, "Asterisk has no sound en/agent-pass, and") == ["problem"]
    for sound in missing_sounds(Prompts(sounds_dir(), "en"), tmp_path):
        (tmp_path / sound).parent.mkdir(exist_ok=True)
        (tmp_path / f"{sound}.gsm").touch()
    assert levels(shop("doctor", "--json").json, "prompts in en") == ["ok"]


@pytest.fixture
def sounds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The prompts of an installation, to damage."""
    (copy := tmp_path / "sounds" / "en").mkdir(parents=True)
    shutil.copy(sounds_dir() / "en" / "manifest.toml", copy)
    monkeypatch.setattr(resources, "sounds_dir", lambda: tmp_path / "sounds")
    return tmp_path / "sounds"


def test_prompts_of_ours_that_are_gone_or_closed(shop: CommandLine, fake: FakeAsterisk, sounds: Path) -> None:
    said = "there are no prompts in language 'en': "
    assert levels(shop("doctor", "--json").json, said) == []
    (sounds / "en").chmod(0)
    with bound_by_modes():
        assert levels(shop("doctor", "--json").json, f"{said}{sounds}/en/manifest.toml: Perm") == ["problem"]
    (sounds / "en").chmod(0o755)
    shutil.rmtree(sounds)
    assert levels(shop("doctor", "--json").json, f"{said}{sounds}/en/manifest.toml: No such") == ["problem"]


def test_a_brand_whose_sounds_are_not_there_or_cannot_be_read(
    shop: CommandLine, fake: FakeAsterisk, sounds: Path
) -> None:
    shop.ok("access-number", "set", ACCESS_NUMBER, "--set", "brand=acme")
    shop.ok("web", "add", "calls", "--type", "extended", "--set", "brand=bolt")
    for brand in ("acme", "bolt"):
        said = f"brand {brand} has no sounds of its own in en"
        assert levels(shop("doctor", "--json").json, said) == ["warning"]
        (own := sounds / "en" / "brands" / brand).mkdir(parents=True)
        (own / "welcome.ulaw").touch()
        assert levels(shop("doctor", "--json").json, f"brand {brand}") == []
        own.chmod(0)
        with bound_by_modes():
            found = shop("doctor", "--json").json
        own.chmod(0o755)
        assert levels(found, f"the sounds of brand {brand} cannot be read: {own}: Permission") == ["warning"]


def test_the_look_of_the_web_pages_that_cannot_be_read(
    shop: CommandLine, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "look"
    monkeypatch.setenv("STASIS_CALLBACK_WEB__BRAND_DIR", str(folder))
    monkeypatch.setenv("STASIS_CALLBACK_WEB__ENABLED", "true")
    monkeypatch.setenv("STASIS_CALLBACK_WEB__PORT", "0")
    monkeypatch.setenv("STASIS_CALLBACK_WEB__SECRET", "hunter3" * 8)
    assert levels(shop("doctor", "--json").json, f"web.brand_dir {folder} cannot be read: No") == ["warning"]
    folder.mkdir()
    assert levels(shop("doctor", "--json").json, "web.brand_dir") == []


# --- the support archive ----------------------------------------------------------------------------------------


def test_a_support_archive_has_what_is_needed_and_nothing_that_is_private(
    shop: CommandLine, fake: FakeAsterisk, called: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_EMAIL__IMAP_USER", "boss@business.example")
    monkeypatch.setenv("STASIS_CALLBACK_EMAIL__IMAP_PASSWORD", "hunter2")
    monkeypatch.setenv("STASIS_CALLBACK_WEB__SECRET", "hunter3" * 8)
    log = tmp_path / "messages.log"
    log.write_text(
        "WARNING: Missed call 1732700000.12 from +420212345678\n"
        "From: Jana <jana@home.example>, sip:420601123456@192.0.2.1\n"
    )
    monkeypatch.setattr(bundle, "ASTERISK_LOG", log)
    shop.ok("account", "add", "33123456789", "--customer", "Acme", "--product", "callback")
    result = shop("doctor", "--bundle", "help.tar.gz")
    assert "help.tar.gz written (findings.json" in result.err
    with tarfile.open("help.tar.gz") as archive:
        texts = {
            Path(entry.name).name: archive.extractfile(entry).read().decode()  # type: ignore[union-attr]
            for entry in archive
        }
    whole = "\n".join(texts.values())
    for private in ("hunter", "boss", "jana", SUBSCRIBER, "33123456789", "601123456", fake.password):
        assert private not in whole, private
    assert "@home.example" in texts["asterisk.log"]
    assert "cannot be called back" in texts["findings.json"]
    assert json.loads(texts["database.json"])["rows"]["xdr"] == 2
    assert json.loads(texts["database.json"])["migrations"][0] == "0001_first_tables"
    assert json.loads(texts["versions.json"])["packages"]["peewee"]
    assert json.loads(texts["settings.json"])["web"]["port"] == 8080
    assert texts["service.log"]
    assert "already exists" in shop.refused("doctor", "--bundle", "help.tar.gz")


def test_a_support_archive_is_made_where_nothing_works(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bundle, "ASTERISK_LOG", tmp_path / "none")
    Path("stasis-callback.toml").write_text("nonsense")
    assert cli("doctor", "--bundle", "help.tar.gz").code == 1
    with tarfile.open("help.tar.gz") as archive:
        names = [Path(entry.name).name for entry in archive]
    assert len(names) == 6
