"""`sounds`: are all prompts there, what would be heard, and how they are made."""

import shutil
from pathlib import Path

import pytest
from command_line import CommandLine

from stasis_callback.resources import sounds_dir

TOOL = """#!/bin/sh
cd "$(dirname "$0")/../sounds" || exit 9
[ "$*" != --all ] || echo everything >built
[ ! -e en/welcome.text ] || { echo "no voice" >&2; exit 1; }
touch en/welcome.g722
"""


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the prompts, to damage, in a checkout with a tool that brings the welcome back."""
    folder = Path(shutil.copytree(sounds_dir(), tmp_path / "checkout/sounds"))
    tool = folder.parent / "tools/render-prompts"
    tool.parent.mkdir()
    tool.write_text(TOOL)
    tool.chmod(0o755)
    monkeypatch.setattr("stasis_callback.admin.node.sounds.sounds_dir", lambda: folder)
    return folder


def test_all_languages_are_complete(cli: CommandLine) -> None:
    assert cli.ok("sounds", "check").out == "all prompts are complete, in en, es, fr, it, ru\n"
    assert cli.ok("sounds", "check", "--json").json == {
        "ok": True,
        "languages": ["en", "es", "fr", "it", "ru"],
        "findings": [],
    }


def test_whatever_is_missing_is_named(cli: CommandLine, copy: Path) -> None:
    (copy / "en/welcome.g722").unlink()
    shutil.rmtree(copy / "it")
    manifest = copy / "es/manifest.toml"
    manifest.write_text(manifest.read_text().replace('hour = { text = "hora" }', ""))
    result = cli("sounds", "check")
    assert (result.code, result.err) == (1, "")
    assert [line.partition(": /")[0] for line in result.out.splitlines()] == [
        "en: welcome is not rendered from its present text: run `stasis-callback sounds build`",
        "es: hour.g722 belongs to nothing in manifest.toml: delete it",
        "es: hour.ulaw belongs to nothing in manifest.toml: delete it",
        "es: prompt 'hour' is missing in language 'es': add it to manifest.toml",
        "there are no prompts in language 'it'",
    ]
    assert cli("sounds", "check", "--json").json["ok"] is False


def test_what_asterisk_lacks_is_named(cli: CommandLine, tmp_path: Path) -> None:
    result = cli("sounds", "check", "--asterisk", tmp_path)
    assert result.code == 1
    assert f"{tmp_path}: ru/digits/20 is missing" in result.out.splitlines()
    assert f"{tmp_path}: en/stasis-callback/welcome is missing" in result.out.splitlines()


@pytest.mark.parametrize(
    ("words", "heard"),
    [
        ("--language ru balance 21.50 USD", "На вашем счёте двадцать один доллар пятьдесят центов"),
        ("--language fr balance 0 EUR", "Votre solde est de zéro euro"),
        ("balance 7.05 SEK", "Your balance is seven dot zero five"),
        ("duration 349", "You can talk for five minutes and forty nine seconds"),
        ("--minutes duration 349", "You can talk for six minutes"),
        ("--language it number 128", "cento ventotto"),
        ("--language es digits 10*#", "uno cero asterisco tecla de número"),
        ("prompt no-funds", "You do not have enough credit for this call."),
    ],
)
def test_what_a_subscriber_would_hear_is_shown(cli: CommandLine, words: str, heard: str) -> None:
    assert cli.ok("sounds", "say", *words.split()).out.splitlines()[0] == heard


def test_the_sounds_are_shown_in_playing_order(cli: CommandLine) -> None:
    assert cli.ok("sounds", "say", "balance", "2", "EUR").out.splitlines()[1:] == [
        "en/stasis-callback/balance-is",
        "en/digits/2",
        "en/stasis-callback/euros",
    ]
    assert cli.ok("sounds", "say", "number", "21", "--language", "es", "--json").json == {
        "words": "veintiuno",
        "sounds": ["es/digits/21"],
    }


def test_a_brands_own_prompt_is_shown(cli: CommandLine, copy: Path) -> None:
    (copy / "en/brands/acme").mkdir(parents=True)
    (copy / "en/brands/acme/welcome.wav").touch()
    told = cli.ok("sounds", "say", "prompt", "welcome", "--brand", "acme").out
    assert told.splitlines() == ["Welcome.", "en/stasis-callback/brands/acme/welcome"]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("balance 21.50", "write an amount and a currency"),
        ("balance x USD", "'x'"),
        ("balance 1 dollars", "'dollars' is not a currency code"),
        ("balance 9999999999 USD", "too large"),
        ("duration soon", "'soon' is not a whole number"),
        ("duration 1 2", "write seconds"),
        ("number 1e3", "'1e3' is not a whole number"),
        ("digits 12a", "only digits"),
        ("prompt nonsense", "prompt 'nonsense' is missing"),
        ("--language xx number 1", "no prompts in language 'xx'"),
        ("weather today", "weather"),
    ],
)
def test_what_cannot_be_said_is_refused_in_one_sentence(cli: CommandLine, words: str, answer: str) -> None:
    assert answer in cli.refused("sounds", "say", *words.split())


def test_nothing_is_built_when_nothing_has_changed(cli: CommandLine, copy: Path) -> None:
    assert "nothing to build" in cli.ok("sounds", "build").out


def test_what_is_missing_is_built(cli: CommandLine, copy: Path) -> None:
    (copy / "en/welcome.g722").unlink()
    cli.ok("sounds", "build")
    cli.ok("sounds", "check")
    cli.ok("sounds", "build", "--all")
    assert (copy / "built").exists()


def test_a_failed_build_is_a_failure(cli: CommandLine, copy: Path) -> None:
    (copy / "en/welcome.text").touch()
    assert "some prompts could not be built" in cli.refused("sounds", "build")


def test_an_installation_says_that_it_cannot_build(cli: CommandLine, copy: Path) -> None:
    shutil.rmtree(copy.parent / "tools")
    (copy / "en/welcome.g722").unlink()
    assert "in a checkout of the repository" in cli.refused("sounds", "build")
