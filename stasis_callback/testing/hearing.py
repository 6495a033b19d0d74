"""What was heard in a call: finds Asterisk's sounds and our prompts in a phone's recording, in order.

    hearing = Hearing(real_network.sounds("en"))
    heard = hearing.listen(subscriber.recording)
    assert names(heard, expected) == expected

The fingerprint of a sound is its beginning: the first 300 ms of its speech are looked for by normalised
cross-correlation, so the level does not matter, nor does a telephone codec. From there the recording is followed
along the sound, across a lost or repeated packet, to where the two part: at its end, or where a digit stopped it.
What is loud and fits nothing is reported too, so a comparison says also that nothing else was heard. Needs numpy.

Measured with every sound of the English manifest over two real Asterisk (recorded sounds from gsm, our own from
ulaw, over alaw) among 592 candidates: all found, none taken for another. tests/real/test_heard.py measures it again.
"""

from __future__ import annotations

import math
import wave
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stasis_callback.clock import wait_until
from stasis_callback.ivr.prompts import Utterance

Samples = npt.NDArray[np.float32]

UNKNOWN = "?"
"""The name of what is loud enough to be heard and fits no sound, also of less than 200 ms of a sound."""
RINGBACK = "tone:ring"
"""Asterisk's own ringing tone."""

_RATE = 8000
_FRAME = 80  # 10 ms: the grain of loud and quiet
_BLOCK = 320  # 40 ms: the grain at which a sound is followed
_HEAD = 2400  # 300 ms
_WINDOW = 4096  # looked at in one step
_STEP = _WINDOW - _HEAD
_PIECE = 1600  # 200 ms: enough to find the place again after a loss (half of it at the end of a sound)
_MISSED_MOST = (
    10  # 400 ms may be lost: a phone that begins or ends speaking itself may lose 160 ms of recording
)
_SLIP = 480  # 60 ms: what a lost or repeated packet may shift

# Correlation of the head, measured over calls: 0.990 to 1.000 for the right sound, up to 0.80 for a wrong one (cents
# for pence: one voice, one beginning) and 0.92 for another cut of one recording (queue-seconds for seconds), which
# the blocks after the head tell apart. Without the high tones raised, wrong heads reached 0.98.
_HEAD_SCORE = 0.85
_RAISED = 0.9
# Of a block of the right sound 0.7 and more, but where a packet was lost; of what was followed 0.958 and more.
_BLOCK_SCORE = 0.6
_SCORE = 0.9

_QUIET_RMS = 20.0  # after raising the high tones: companding noise is below, speech above
_QUIET_PART = 0.02  # of the loudest 10 ms of a sound: -34 dB
_TELLING_PART = 0.05  # -26 dB: blocks below this are too near the noise to compare
_LEAST = 1600  # 200 ms: when less of a sound was heard, nobody can say what it was
_WHOLE = 0.9
_TIE = 0.02
_UNKNOWN_LEAST_S = 0.1  # shorter remains are where a sound was cut short


@dataclass(frozen=True)
class Heard:
    """One sound in a recording."""

    name: str
    """As in a media URI without `sound:` (`en/digits/5`, `en/stasis-callback/welcome`), or `UNKNOWN`."""
    start_s: float
    heard_s: float
    """How much of it was heard, without the silence around it."""
    part: float
    """The same as a share of the sound: 1.0 to the end; less when a digit cut it short."""
    score: float
    """Correlation of what was heard with the sound, 0 to 1."""
    also: tuple[str, ...] = ()
    """Sounds that fit as well: copies under other names, or the same beginning of a sound cut short."""

    @property
    def whole(self) -> bool:
        """Whether it was heard to its end (a last consonant may be lost)."""
        return self.part >= _WHOLE


@dataclass(frozen=True)
class _Sound:
    name: str
    speech: Samples
    """Without the silence before and after."""
    loud: npt.NDArray[np.bool_]
    """Which blocks of it are loud enough to tell anything."""
    before: int
    after: int
    """Samples of the silence around it."""


class Hearing:
    """Knows a set of sounds by their audio."""

    def __init__(self, sounds: Mapping[str, Path]) -> None:
        """`sounds`: decoded to WAV files (8 kHz, one channel), by name. Silent ones are left out."""
        decoded = {RINGBACK: _ringback()} | {name: read_wav(path) for name, path in sounds.items()}
        self._sounds = [sound for name, samples in decoded.items() if (sound := _sound(name, samples))]
        self._lengths = np.array([min(_HEAD, len(sound.speech)) for sound in self._sounds])
        heads = np.zeros((len(self._sounds), _WINDOW), np.float32)
        for row, sound, length in zip(heads, self._sounds, self._lengths, strict=True):
            row[:length] = sound.speech[:length] / np.linalg.norm(sound.speech[:length])
        self._spectra = np.conj(np.fft.rfft(heads)).astype(np.complex64)

    @property
    def names(self) -> list[str]:
        """The sounds it knows."""
        return [sound.name for sound in self._sounds]

    def listen(self, recording: Path, *, timeout_s: float = 5.0) -> list[Heard]:
        """Everything in a recording, in order; waits until the recording is complete (AssertionError if never)."""
        assert wait_until(lambda: _complete(recording), timeout_s=timeout_s), f"{recording} is not complete"
        return self.find(read_wav(recording))

    def find(self, samples: Samples) -> list[Heard]:
        """Everything in these samples (8 kHz, full scale 32768), in order."""
        # Room at both ends, so that no sound leads out of the recording.
        longest = max(len(sound.speech) for sound in self._sounds)
        recording = np.pad(_raised(samples), (_SLIP, longest + 2 * _WINDOW))
        loud = _rms(recording, _FRAME) > _QUIET_RMS
        found: list[Heard] = []
        at = 0
        while len(ahead := np.flatnonzero(loud[at // _FRAME :])):
            # A sound begins a little before it is loud.
            at = max(at, (at // _FRAME + int(ahead[0])) * _FRAME - _HEAD // 2)
            scores = self._head_scores(recording[at : at + _WINDOW])
            hits = np.flatnonzero(scores.max(axis=0) >= _HEAD_SCORE)
            if not len(hits):
                at += _STEP
                continue
            first = int(hits[0])
            track, heard = self._best(recording, at + first, scores[:, first : first + _SLIP])
            if track.score < _SCORE or not (heard.whole or track.end - track.start >= _LEAST):
                at += first + _SLIP
                continue
            found.append(heard)
            first_frame = max(0, track.start - track.sound.before) // _FRAME
            loud[first_frame : max(track.over, track.end) // _FRAME + 1] = False
            # Asterisk leaves out what does not fill the last packet of a file (20 ms), and a packet may be lost.
            at = track.over - _BLOCK
        return sorted([*found, *_unknown(loud)], key=lambda heard: heard.start_s)

    def _best(self, recording: Samples, at: int, scores: Samples) -> tuple[_Track, Heard]:
        """The sound that explains most of the recording from `at` on; `scores` of the heads from there."""
        tracks = [
            _follow(self._sounds[index], recording, at + int(scores[index].argmax()))
            for index in np.flatnonzero(scores.max(axis=1) >= _HEAD_SCORE)
        ]
        most = max(track.explained for track in tracks)
        tied = [track for track in tracks if track.explained >= most * (1 - _TIE)]
        tied = [track for track in tied if track.part >= _WHOLE] or tied
        tied.sort(key=lambda track: track.explained, reverse=True)
        track, also = tied[0], tuple(sorted(track.sound.name for track in tied[1:]))
        heard = Heard(
            name=track.sound.name,
            start_s=(track.start - _SLIP) / _RATE,
            heard_s=(track.end - track.start) / _RATE,
            part=track.part,
            score=track.score,
            also=also,
        )
        return track, heard

    def _head_scores(self, window: Samples) -> npt.NDArray[np.float32]:
        """Correlation of every head with the window, by sound and offset."""
        products = np.fft.irfft(np.fft.rfft(window).astype(np.complex64) * self._spectra, _WINDOW)[:, :_STEP]
        energy = np.concatenate([[0.0], np.cumsum(window.astype(np.float64) ** 2)])
        offsets = np.arange(_STEP)
        levels = {
            n: np.sqrt(np.maximum(energy[offsets + n] - energy[offsets], _QUIET_RMS**2 * n))
            for n in set(self._lengths.tolist())
        }
        return np.asarray(products / np.stack([levels[n] for n in self._lengths.tolist()]), np.float32)


@dataclass(frozen=True)
class _Track:
    """How far a recording goes along with a sound; `start` and `end` in samples of the recording."""

    sound: _Sound
    start: int
    end: int
    over: int
    """Where the next sound begins, if nothing of the end of this one was lost."""
    part: float
    score: float
    explained: float
    """Energy of the recording that is this sound."""


def _follow(sound: _Sound, recording: Samples, start: int) -> _Track:
    """Go along `sound`, found to begin at `start` of the recording, until the two part."""
    shift, missed, length = start, 0, 0
    products = own = other = explained = 0.0
    for at in range(0, len(sound.speech), _BLOCK):
        if not sound.loud[at // _BLOCK]:
            continue
        block = sound.speech[at : at + _BLOCK]
        if _correlation(block, recording[shift + at : shift + at + len(block)]) < _BLOCK_SCORE:
            slip = _slip(sound.speech[at : at + _PIECE], recording, shift + at, missed * _BLOCK + _SLIP)
            if slip is None:
                missed += 1
                if missed > _MISSED_MOST:
                    break
                continue
            shift += slip
        missed = 0
        piece = recording[shift + at : shift + at + len(block)]
        product, energy = _dot(block, piece), _dot(block, block)
        products, own, other = products + product, own + energy, other + _dot(piece, piece)
        explained += product * product / energy
        length = at + len(block)
    all_that_tells = (int(np.flatnonzero(sound.loud)[-1]) + 1) * _BLOCK
    part = min(1.0, length / all_that_tells)
    to_the_end = length + _BLOCK >= all_that_tells
    over = len(sound.speech) + sound.after if to_the_end else length
    score = products / math.sqrt(own * other) if own and other else 0.0
    return _Track(sound, start, shift + length, shift + over, part, score, explained)


def _slip(piece: Samples, recording: Samples, at: int, earlier: int) -> int | None:
    """How much later than at `at` the recording has `piece`, up to `earlier` before it; None when it is not there."""
    size = len(piece)
    if size < _PIECE // 2:
        return None
    first = max(0, at - earlier)
    around = recording[first : at + _SLIP + size]
    energy = np.cumsum(np.append(0.0, around.astype(np.float64) ** 2))
    levels = np.sqrt(np.maximum(energy[size:] - energy[:-size], _QUIET_RMS**2 * size))
    scores = np.correlate(around, piece, "valid") / levels / np.linalg.norm(piece)
    best = int(scores.argmax())
    return first + best - at if scores[best] >= _SCORE else None


def _raised(samples: Samples) -> Samples:
    """With the low tones, which all voices share, taken back."""
    return np.asarray(np.append(samples[:1], samples[1:] - _RAISED * samples[:-1]), np.float32)


def _correlation(one: Samples, other: Samples) -> float:
    floor = _QUIET_RMS**2 * len(one)
    return _dot(one, other) / math.sqrt(_dot(one, one) * max(_dot(other, other), floor))


def _dot(one: Samples, other: Samples) -> float:
    return float(np.dot(one, other))


def _rms(samples: Samples, size: int) -> Samples:
    """The level of each whole piece of `size` samples."""
    pieces = samples[: len(samples) // size * size].reshape(-1, size)
    return np.asarray(np.sqrt(np.mean(pieces * pieces, axis=1)), np.float32)


def _sound(name: str, samples: Samples) -> _Sound | None:
    """A sound without the silence around it; None when there is nothing else."""
    samples = _raised(samples)
    levels = _rms(samples, _FRAME)
    loudest = float(levels.max(initial=0.0))
    if loudest < _QUIET_RMS:
        return None
    loud = np.flatnonzero(levels > max(_QUIET_RMS, loudest * _QUIET_PART))
    first, last = int(loud[0]) * _FRAME, (int(loud[-1]) + 1) * _FRAME
    speech = samples[first:last]
    blocks = _rms(np.append(speech, np.zeros(-len(speech) % _BLOCK, np.float32)), _BLOCK)
    return _Sound(
        name, speech, blocks >= min(blocks.max(), loudest * _TELLING_PART), first, len(samples) - last
    )


def _unknown(loud: npt.NDArray[np.bool_]) -> Iterable[Heard]:
    """What is loud and belongs to no sound; pauses of up to 200 ms do not part it."""
    frames = np.flatnonzero(loud)
    for run in np.split(frames, np.flatnonzero(np.diff(frames) > 20) + 1):
        if len(run) * _FRAME >= _UNKNOWN_LEAST_S * _RATE:
            start_s = (int(run[0]) * _FRAME - _SLIP) / _RATE
            yield Heard(UNKNOWN, start_s, len(run) * _FRAME / _RATE, 0.0, 0.0)


def _ringback() -> Samples:
    """One ring as Asterisk makes it for an answered caller (asterisk-conf/indications.conf: 440+480/2000)."""
    time_s = np.arange(2 * _RATE) / _RATE
    waves = [np.sin(2 * np.pi * frequency_hz * time_s) for frequency_hz in (440, 480)]
    return np.asarray(4000 * (waves[0] + waves[1]), np.float32)


def names(heard: Sequence[Heard], expected: Sequence[str] = ()) -> list[str]:
    """The names in order; one of several sounds that cannot be told apart takes the expected name."""
    listed = [one.name for one in heard]
    for place, (one, wanted) in enumerate(zip(heard, expected, strict=False)):
        if wanted in one.also:
            listed[place] = wanted
    return listed


def sounds_of(*utterances: Utterance) -> list[str]:
    """The names of the sounds that make up these utterances, silence left out."""
    media = [uri.removeprefix("sound:") for utterance in utterances for uri in utterance.media]
    return [name for name in media if "/silence/" not in name]


def read_wav(path: Path) -> Samples:
    """The samples of a WAV file; AssertionError when it is not 8 kHz, 16 bit, one channel."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (_RATE, 2, 1), path
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32)


def _complete(recording: Path) -> bool:
    """Asterisk writes the length into the header when it closes the file."""
    header = recording.read_bytes()[:44] if recording.exists() else b""
    return int.from_bytes(header[40:44], "little") > 0
