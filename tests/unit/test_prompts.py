"""The manifest, the rendered files and the names in the code belong together."""

import os
import shutil
from pathlib import Path

import pytest

from stasis_callback.core.errors import CallbackError
from stasis_callback.ivr.prompts import FORMATS, Prompt, Prompts, Utterance, check_sounds, missing_sounds

ROOT = Path(__file__).resolve().parents[2]
SOUNDS = ROOT / "sounds"
MEGABYTE = 1_000_000


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's sounds, to damage."""
    return Path(shutil.copytree(SOUNDS, tmp_path / "sounds"))


def asterisk_sounds() -> Path | None:
    """Where recorded English core sounds are at hand; in a root of another system the `en` link leads nowhere."""
    folders = [Path("/usr/share/asterisk/sounds"), ROOT / ".cache/asterisk-root/usr/share/asterisk/sounds"]
    if "ASTERISK_SOUNDS" in os.environ:
        folders.insert(0, Path(os.environ["ASTERISK_SOUNDS"]))
    for folder in folders:
        for name in ("en", "en_US_f_Allison"):
            if (folder / name / "vm-goodbye.gsm").exists():
                return folder / name
    return None


def test_nothing_is_missing_and_nothing_is_left_over() -> None:
    assert check_sounds(SOUNDS) == []


@pytest.mark.parametrize("prompt", Prompt)
def test_every_prompt_has_words_and_stoppable_sounds(prompt: Prompt) -> None:
    said = Prompts(SOUNDS).say(prompt)
    assert said.text or prompt is Prompt.SILENCE
    assert said.media
    assert all(uri.startswith("sound:") for uri in said.media)


def test_every_recorded_core_sound_exists() -> None:
    folder = asterisk_sounds()
    if folder is None:
        pytest.skip("no Asterisk core sounds here: set ASTERISK_SOUNDS to a folder that has `en`")
    assert [
        sound for sound in missing_sounds(Prompts(SOUNDS), folder) if "stasis-callback/" not in sound
    ] == []


def test_an_installation_without_our_sounds_is_noticed(copy: Path) -> None:
    (asterisk := copy / "asterisk/en").mkdir(parents=True)
    assert "stasis-callback/welcome" in missing_sounds(Prompts(copy), asterisk)
    (asterisk / "stasis-callback").symlink_to(copy / "en")
    missing = missing_sounds(Prompts(copy), asterisk)
    assert "stasis-callback/welcome" not in missing
    assert "digits/1" in missing


def test_a_lost_file_is_noticed(copy: Path) -> None:
    (copy / "en/welcome.sln16").unlink()
    assert check_sounds(copy) == [
        "en: welcome is not rendered from its present text: run tools/render-prompts"
    ]


def test_a_changed_text_is_noticed(copy: Path) -> None:
    manifest = copy / "en/manifest.toml"
    manifest.write_text(manifest.read_text().replace('"Welcome."', '"Good morning."'))
    assert check_sounds(copy) == [
        "en: welcome is not rendered from its present text: run tools/render-prompts"
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
    with pytest.raises(CallbackError, match=r"manifest.toml is damaged .*: restore it"):
        Prompts(copy)


def test_a_language_without_manifest_is_refused() -> None:
    with pytest.raises(CallbackError, match="no prompts for language 'xx'"):
        Prompts(SOUNDS, "xx")


def test_a_name_without_entry_is_refused() -> None:
    with pytest.raises(CallbackError, match="have no 'nonsense'"):
        Prompts(SOUNDS).say("nonsense")


def test_utterances_add_up() -> None:
    assert Utterance(("sound:a",), "one") + Utterance() + Utterance(("sound:b",), "two") == Utterance(
        ("sound:a", "sound:b"), "one two"
    )


def test_the_rendered_prompts_are_small_and_audible() -> None:
    """8 kHz and 16 kHz versions are the same length, between half a second and ten, and all are short together."""
    files = [path for path in (SOUNDS / "en").iterdir() if path.suffix[1:] in FORMATS]
    assert sum(path.stat().st_size for path in files) < 2 * MEGABYTE
    for ulaw in (path for path in files if path.suffix == ".ulaw"):
        seconds = ulaw.stat().st_size / 8000
        assert 0.5 < seconds < 10
        assert ulaw.with_suffix(".sln16").stat().st_size / 32000 == pytest.approx(seconds, abs=0.001)
        assert len(set(ulaw.read_bytes())) > 100, f"{ulaw.name} is next to silent"
