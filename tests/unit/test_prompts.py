"""The manifest, the rendered files and the names in the code belong together."""

import os
import shutil
from pathlib import Path

import pytest
from disks import bound_by_modes
from structlog.testing import capture_logs

from stasis_callback.core.errors import CallbackError
from stasis_callback.ivr.grammar import GRAMMARS
from stasis_callback.ivr.prompts import (
    BRANDS,
    FORMATS,
    Prompt,
    Prompts,
    Utterance,
    check_sounds,
    languages,
    missing_sounds,
)
from stasis_callback.ivr.speech import unspeakable
from stasis_callback.ivr.voice import voices

ROOT = Path(__file__).resolve().parents[2]
SOUNDS = ROOT / "sounds"
LANGUAGES = ["en", "es", "fr", "it", "ru"]
MEGABYTE = 1_000_000


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's sounds, to damage."""
    return Path(shutil.copytree(SOUNDS, tmp_path / "sounds"))


def asterisk_sounds(language: str) -> Path | None:
    """Where a language's recorded sounds are at hand; in a root of another system the `en` link leads nowhere."""
    folders = [Path("/usr/share/asterisk/sounds"), ROOT / ".cache/asterisk-root/usr/share/asterisk/sounds"]
    if "ASTERISK_SOUNDS" in os.environ:
        folders.insert(0, Path(os.environ["ASTERISK_SOUNDS"]))
    found = (path for folder in folders for path in sorted(folder.glob(f"{language}*")))
    return next((path for path in found if (path / "vm-goodbye.gsm").exists()), None)


def test_nothing_is_missing_and_nothing_is_left_over() -> None:
    assert check_sounds(SOUNDS) == []


def test_the_languages_are_those_with_a_grammar() -> None:
    assert languages(SOUNDS) == sorted(GRAMMARS) == LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("prompt", Prompt)
def test_every_prompt_has_words_and_stoppable_sounds(prompt: Prompt, language: str) -> None:
    said = Prompts(SOUNDS, language).say(prompt)
    assert said.text or prompt is Prompt.SILENCE
    assert said.media
    assert all(uri.startswith(f"sound:{language}/") for uri in said.media)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_recorded_core_sound_exists(language: str, tmp_path: Path) -> None:
    folder = asterisk_sounds(language)
    if folder is None:
        pytest.skip(
            f"no Asterisk core sounds in {language} here: set ASTERISK_SOUNDS to a folder that has them"
        )
    (tmp_path / language).symlink_to(folder)
    missing = missing_sounds(Prompts(SOUNDS, language), tmp_path)
    assert [sound for sound in missing if "stasis-callback/" not in sound] == []


def test_an_installation_without_our_sounds_is_noticed(copy: Path) -> None:
    (asterisk := copy / "asterisk/en").mkdir(parents=True)
    assert "en/stasis-callback/welcome" in missing_sounds(Prompts(copy), asterisk.parent)
    (asterisk / "stasis-callback").symlink_to(copy / "en")
    missing = missing_sounds(Prompts(copy), asterisk.parent)
    assert "en/stasis-callback/welcome" not in missing
    assert "en/digits/1" in missing


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_number_currency_and_key_can_be_said(language: str) -> None:
    assert unspeakable(Prompts(SOUNDS, language)) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('million-few = { text = "миллиона", core = "digits/h-million" }', "prompt 'million-few' is missing"),
        ('KZT = { main = "tenge", minor = "tiyn" }', "no words for KZT"),
        ('tiyn-few = { text = "тиына" }', "prompt 'tiyn-few' is missing"),
        ('minute = { gender = "f", one = "minute", few = "minute-few", other = "minute-many" }', "'minute'"),
        ('pound-key = { text = "решётка" }', "prompt 'pound-key' is missing"),
        ('naira = { text = "найра" }', "prompt 'naira' is missing"),
    ],
)
def test_a_word_that_is_wanting_is_noticed(copy: Path, line: str, problem: str) -> None:
    manifest = copy / "ru/manifest.toml"
    manifest.write_text(manifest.read_text().replace(line + "\n", ""))
    assert [problem in found for found in unspeakable(Prompts(copy, "ru"))] == [True]


def test_a_brands_own_sounds_are_played_and_the_rest_is_as_usual(copy: Path) -> None:
    own = copy / "fr" / BRANDS / "acme"
    own.mkdir(parents=True)
    for file in ("welcome.wav", "goodbye.alaw", "goodbye.sln16"):
        (own / file).touch()
    acme = Prompts(copy, "fr", "acme")
    assert acme.media(Prompt.WELCOME) == ["sound:fr/stasis-callback/brands/acme/welcome"]
    assert acme.media(Prompt.GOODBYE) == ["sound:fr/stasis-callback/brands/acme/goodbye"]
    usual = Prompts(copy, "fr")
    assert usual.media(Prompt.WELCOME) == ["sound:fr/stasis-callback/welcome"]
    for other in (Prompts(copy, "fr", "other"), Prompts(copy, "es", "acme")):
        assert BRANDS not in str([other.media(prompt) for prompt in Prompt])
    assert acme.media(Prompt.NO_FUNDS) == usual.media(Prompt.NO_FUNDS)
    assert check_sounds(copy) == []


@pytest.mark.parametrize("closed", [BRANDS, f"{BRANDS}/acme"])
def test_a_brand_that_cannot_be_read_is_none_and_that_is_said_once(copy: Path, closed: str) -> None:
    own = copy / "fr" / BRANDS / "acme"
    own.mkdir(parents=True)
    (own / "welcome.ulaw").touch()
    (copy / "fr" / closed).chmod(0)
    try:
        with bound_by_modes(), capture_logs() as log:
            said = [voices(copy, ["fr"], "acme")[0].say(Prompt.WELCOME) for _ in range(2)]
    finally:
        (copy / "fr" / closed).chmod(0o755)
    assert said == [Prompts(copy, "fr").say(Prompt.WELCOME)] * 2
    assert [(line["event"], line["folder"]) for line in log] == [("brand.not_read", str(own))]


def test_a_brand_that_is_not_there_is_none(copy: Path) -> None:
    (copy / "es" / BRANDS).touch()
    with capture_logs() as log:
        for language in ("es", "fr"):
            assert voices(copy, [language], "acme")[0].say(Prompt.WELCOME) == Prompts(copy, language).say(
                Prompt.WELCOME
            )
    assert log == []


def test_sounds_that_are_gone_or_closed_are_one_known_error(copy: Path) -> None:
    copy.chmod(0)
    with bound_by_modes(), pytest.raises(CallbackError, match="no prompts in language 'en'"):
        voices(copy, ["fr", "en"])
    copy.chmod(0o755)
    shutil.rmtree(copy)
    with pytest.raises(CallbackError, match="no prompts in language 'en'"):
        voices(copy, ["fr", "en"], "acme")


def test_a_lost_file_is_noticed(copy: Path) -> None:
    (copy / "en/welcome.g722").unlink()
    assert check_sounds(copy) == [
        "en: welcome is not rendered from its present text: run `stasis-callback sounds build`"
    ]


def test_a_changed_text_is_noticed(copy: Path) -> None:
    manifest = copy / "en/manifest.toml"
    manifest.write_text(manifest.read_text().replace('"Welcome."', '"Good morning."'))
    assert check_sounds(copy) == [
        "en: welcome is not rendered from its present text: run `stasis-callback sounds build`"
    ]


def test_a_file_of_no_prompt_is_noticed(copy: Path) -> None:
    (copy / "en/old.ulaw").touch()
    assert check_sounds(copy) == ["en: old.ulaw belongs to nothing in manifest.toml: delete it"]


def test_a_prompt_without_entry_is_noticed(copy: Path) -> None:
    manifest = copy / "en/manifest.toml"
    manifest.write_text(manifest.read_text().replace("\ngoodbye = ", "\nfarewell = "))
    assert [problem.split(" is ")[0] for problem in check_sounds(copy)] == [
        "en: the prompt farewell",
        "en: the prompt goodbye",
    ]


def test_a_damaged_manifest_says_what_to_do(copy: Path) -> None:
    (copy / "en/manifest.toml").write_text("[prompts]\n")
    with pytest.raises(CallbackError, match=r"manifest.toml is damaged .*: restore the file"):
        Prompts(copy)


def test_a_language_without_manifest_is_refused() -> None:
    with pytest.raises(CallbackError, match="no prompts in language 'xx'"):
        Prompts(SOUNDS, "xx")


def test_a_name_without_entry_is_refused() -> None:
    with pytest.raises(CallbackError, match="prompt 'nonsense' is missing"):
        Prompts(SOUNDS).say("nonsense")


def test_utterances_add_up() -> None:
    assert Utterance(("sound:a",), "one") + Utterance() + Utterance(("sound:b",), "two") == Utterance(
        ("sound:a", "sound:b"), "one two"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_rendered_prompts_are_small_and_audible(language: str) -> None:
    """8 kHz and 16 kHz versions are the same length, between 0.3 s and ten, and all are short together."""
    files = [path for path in (SOUNDS / language).iterdir() if path.suffix[1:] in FORMATS]
    assert sum(path.stat().st_size for path in files) < 2.5 * MEGABYTE
    for ulaw in (path for path in files if path.suffix == ".ulaw"):
        seconds = ulaw.stat().st_size / 8000
        assert 0.3 < seconds < 10
        assert ulaw.with_suffix(".g722").stat().st_size / 8000 == pytest.approx(seconds, abs=0.001)
        assert len(set(ulaw.read_bytes())) > 100, f"{ulaw.name} is next to silent"


def test_all_rendered_prompts_together_are_small() -> None:
    assert sum(path.stat().st_size for path in SOUNDS.rglob("*") if path.is_file()) < 10 * MEGABYTE
