"""Listens to sound files: how loud they are, and whether a speech recogniser tells them apart.

The recogniser (pocketsphinx) knows American English. For another language each text is spelled for it in the nearest
American sounds, so it can only choose among given texts. That shows that a file says its text and not another one;
it does not show that the accent is good.
"""

from __future__ import annotations

import re
from pathlib import Path

import espeakng_loader
import numpy as np
import numpy.typing as npt
import pocketsphinx
import soundfile
from G722 import G722
from phonemizer.backend import EspeakBackend
from phonemizer.backend.espeak.wrapper import EspeakWrapper

from stasis_callback.ivr.prompts import Prompts

Audio = npt.NDArray[np.float64]  # samples from -1 to 1

SPELLING = {"en": "en-us", "es": "es-419", "fr": "fr-fr", "it": "it", "ru": "ru"}
"""espeak-ng's names of the languages."""
FRAME_S = 0.02
DECIBELS_BELOW_LOUDEST = 30

# The nearest sound of American English (ARPABET) for each of the phonetic alphabet; longest match first.
_NEAREST = {
    "tʃ": "CH", "dʒ": "JH", "ts": "T S", "dz": "D Z", "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "ɔɪ": "OY",
    "œ̃": "AH N", "ɑ̃": "AA N", "ɔ̃": "OW N", "ɛ̃": "AE N", "jɪ": "Y IH",
    "a": "AA", "ɑ": "AA", "ʌ": "AH", "ə": "AH", "æ": "AE", "e": "EH", "ɛ": "EH", "i": "IY", "ɪ": "IH", "o": "OW",
    "ɔ": "AO", "ɵ": "OW", "ø": "ER", "œ": "ER", "u": "UW", "ʊ": "UH", "y": "IH", "ɨ": "IH",
    "p": "P", "b": "B", "β": "B", "t": "T", "d": "D", "ð": "DH", "θ": "TH", "k": "K", "ɡ": "G", "ɣ": "G", "f": "F",
    "v": "V", "s": "S", "z": "Z", "ʃ": "SH", "ɕ": "SH", "ʒ": "ZH", "x": "HH", "h": "HH", "m": "M", "n": "N",
    "ɲ": "N Y", "ŋ": "NG", "l": "L", "ɭ": "L", "ʎ": "Y", "ʝ": "Y", "j": "Y", "w": "W", "ɥ": "W", "r": "R", "ɾ": "R",
    "ʁ": "R", "ɹ": "R", "ɚ": "ER", "ɜ": "ER", "ɐ": "AH", "ᵻ": "IH",
}  # fmt: skip
_SOUNDS = re.compile("|".join(sorted(_NEAREST, key=len, reverse=True)))


def level_dbfs(audio: Audio, rate: int) -> float:
    """RMS level of the speech: of the 20 ms frames less than 30 dB below the loudest."""
    size = int(rate * FRAME_S)
    power = (audio[: len(audio) // size * size].reshape(-1, size) ** 2).mean(axis=1)
    return float(10 * np.log10(power[power > power.max() / 10 ** (DECIBELS_BELOW_LOUDEST / 10)].mean()))


def resampled(audio: Audio, rate: int, new_rate: int) -> Audio:
    """At another sampling rate: its spectrum cut off or continued with zeros. Clips are short enough for that."""
    length = round(len(audio) * new_rate / rate)
    return np.fft.irfft(np.fft.rfft(audio), length) * (length / len(audio))


def linear16(audio: Audio) -> npt.NDArray[np.int16]:
    """16-bit samples."""
    return np.round(np.clip(audio, -1, 1) * 32767).astype("<i2")


def read(path: Path) -> tuple[Audio, int]:
    """A sound file as a telephone plays it, and its sampling rate."""
    if path.suffix == ".g722":
        return np.array(G722(16000, 64000).decode(path.read_bytes())) / 32768, 16000
    subtype = {".ulaw": "ULAW", ".gsm": "GSM610"}[path.suffix]
    audio, _ = soundfile.read(path, format="RAW", subtype=subtype, samplerate=8000, channels=1)
    return np.asarray(audio), 8000


class Listener:
    """A speech recogniser that chooses among all phrases, or among all words, of a manifest (letters left out)."""

    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts
        self._decoder = pocketsphinx.Decoder(lm=None, cmn="batch", loglevel="FATAL")
        self._spelled = self._spell({name: text for name, text in prompts.texts.items() if len(text) > 1})
        for group, names in (("phrases", prompts.phrases), ("words", prompts.texts.keys() - prompts.phrases)):
            texts = {self._spelled[name] for name in names & self._spelled.keys()}
            grammar = f"#JSGF V1.0; grammar g; public <s> = {' | '.join(sorted(texts))};"
            self._decoder.add_jsgf_string(group, grammar)

    def _spell(self, texts: dict[str, str]) -> dict[str, str]:
        """Every text as the recogniser knows it; what sounds the same is spelled the same."""
        language, rendered = self._prompts.language, self._prompts.rendered
        EspeakWrapper.set_library(espeakng_loader.get_library_path())
        EspeakWrapper.data_path = espeakng_loader.get_data_path()
        backend = EspeakBackend(SPELLING[language])
        sounds = backend.phonemize([rendered.get(name, text) for name, text in texts.items()])
        spelled = {}
        for (name, text), ipa in zip(texts.items(), sounds, strict=True):
            known = re.sub(r"[^a-z' ]", "", text.lower())
            if language == "en" and all(self._decoder.lookup_word(word) for word in known.split()):
                spelled[name] = known
                continue
            phones = " ".join(_NEAREST[sound] for sound in _SOUNDS.findall(ipa))
            spelled[name] = "w" + phones.replace(" ", "").lower()
            if not self._decoder.lookup_word(spelled[name]):
                self._decoder.add_word(spelled[name], phones, update=True)
        return spelled

    def understands(self, name: str, audio: Audio, rate: int) -> bool:
        """Whether it chose the prompt's own text. (Its model is for 16 kHz: at 8 kHz it misses the sibilants.)"""
        quiet = np.zeros(rate // 4)
        pcm = linear16(resampled(np.concatenate([quiet, audio, quiet]), rate, 16000) * 0.99)
        self._decoder.activate_search("phrases" if name in self._prompts.phrases else "words")
        self._decoder.start_utt()
        self._decoder.process_raw(pcm.tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return bool(hypothesis and hypothesis.hypstr == self._spelled[name])
