"""Prompts found again in sound made here: any level, any codec, cut short, with packets lost, among noise."""

from __future__ import annotations

import time
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from world import new_world

from stasis_callback.ivr.prompts import Utterance
from stasis_callback.resources import sounds_dir
from stasis_callback.testing.fake import FakeNetwork
from stasis_callback.testing.hearing import (
    RINGBACK,
    UNKNOWN,
    Hearing,
    Samples,
    names,
    read_wav,
    sounds_of,
)

RATE = 8000
PROMPTS = ["cents", "cent", "pence", "euros", "welcome", "low-funds", "number-busy", "number-unreachable"]


def expanded(codes: npt.NDArray[np.uint8]) -> Samples:
    """Mu-law (G.711) to linear."""
    code = ~codes
    magnitude = ((((code & 15).astype(int) << 3) + 132) << ((code >> 4) & 7)) - 132
    return np.where(code & 128, -magnitude, magnitude).astype(np.float32)


def companded(samples: Samples) -> Samples:
    """Through an eight-bit telephone codec."""
    level = np.log1p(255 * np.abs(samples) / 32768) / np.log(256)
    return np.asarray(
        np.sign(samples) * np.expm1(np.round(level * 127) / 127 * np.log(256)) / 255 * 32768, np.float32
    )


def write(path: Path, samples: Samples, *, rate: int = RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def prompt(name: str) -> Samples:
    return expanded(np.frombuffer((sounds_dir() / "en" / f"{name}.ulaw").read_bytes(), np.uint8))


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE), np.float32)


def noise(seconds: float) -> Samples:
    return np.random.default_rng(1).normal(0, 1500, int(seconds * RATE)).astype(np.float32)


def joined(*pieces: Samples) -> Samples:
    return np.concatenate(pieces)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("decoded")


@pytest.fixture(scope="module")
def hearing(folder: Path) -> Hearing:
    return Hearing({name: write(folder / f"{name}.wav", prompt(name)) for name in PROMPTS})


def test_prompts_are_found_in_order_and_in_time(hearing: Hearing) -> None:
    heard = hearing.find(joined(silence(1), *map(prompt, PROMPTS), silence(1)))
    assert names(heard) == PROMPTS
    assert all(one.whole and one.score > 0.99 for one in heard)
    lengths_s = np.array([len(prompt(name)) / RATE for name in PROMPTS])
    begins_s = 1 + np.cumsum(lengths_s) - lengths_s
    assert all(0 <= one.start_s - begin < 0.2 for one, begin in zip(heard, begins_s, strict=True))


@pytest.mark.parametrize("gain", [0.1, 0.5, 1.5])
def test_neither_level_nor_codec_matters(hearing: Hearing, gain: float) -> None:
    heard = hearing.find(companded(gain * joined(*map(prompt, PROMPTS))))
    assert names(heard) == PROMPTS


def test_a_prompt_cut_short_is_found_with_how_much_was_heard(hearing: Hearing) -> None:
    first = prompt("number-busy")[: int(0.8 * RATE)]
    cut, whole = hearing.find(joined(first, prompt("welcome")))
    assert (cut.name, cut.whole, whole.name, whole.whole) == ("number-busy", False, "welcome", True)
    assert cut.start_s + cut.heard_s == pytest.approx(0.8, abs=0.06)
    assert cut.part == pytest.approx(0.5, abs=0.2)


def test_lost_and_repeated_packets_break_nothing(hearing: Hearing) -> None:
    whole = prompt("number-unreachable")
    lost = np.delete(whole, np.r_[8000:8160, 14000:14160])
    many_lost = np.delete(whole, np.r_[8000:9280])
    repeated = joined(whole[:8000], whole[7840:])
    for damaged in (lost, many_lost, repeated):
        heard = hearing.find(joined(damaged, prompt("welcome")))
        assert names(heard) == ["number-unreachable", "welcome"]
        assert heard[0].whole


def test_a_last_packet_that_is_never_sent_hides_nothing(folder: Path) -> None:
    """Asterisk leaves out what does not fill a packet; here nothing but speech is to either side of the cut."""
    tight = {name: prompt(name)[1200:4720] for name in ("welcome", "euros")}
    hearing = Hearing({name: write(folder / f"tight-{name}.wav", piece) for name, piece in tight.items()})
    assert names(hearing.find(joined(tight["welcome"][:-159], tight["euros"]))) == ["welcome", "euros"]


def test_a_word_shorter_than_200_ms_is_found(folder: Path) -> None:
    short = prompt("pence")[2400:3600]
    hearing = Hearing({"short": write(folder / "short.wav", short)})
    assert names(hearing.find(joined(silence(0.5), short, silence(0.5)))) == ["short"]


def test_what_fits_nothing_is_unknown_and_silence_is_nothing(hearing: Hearing) -> None:
    heard = hearing.find(joined(prompt("welcome"), silence(0.5), noise(0.4), silence(0.5), prompt("cent")))
    assert names(heard) == ["welcome", UNKNOWN, "cent"]
    assert heard[1].heard_s == pytest.approx(0.4, abs=0.02)
    assert hearing.find(silence(3)) == []
    assert names(hearing.find(noise(3))) == [UNKNOWN]


def test_less_than_200_ms_of_a_sound_is_not_guessed_at(hearing: Hearing) -> None:
    spoken = prompt("number-busy")
    begin = int(np.flatnonzero(np.abs(spoken) > 1000)[0])
    assert names(hearing.find(joined(silence(0.2), spoken[begin : begin + 1200], silence(0.2)))) == [UNKNOWN]


def test_ringing_is_found_however_long_it_lasts(hearing: Hearing) -> None:
    time_s = np.arange(0.7 * RATE) / RATE
    ring = 2500 * (np.sin(2 * np.pi * 440 * time_s) + np.sin(2 * np.pi * 480 * time_s))
    assert names(hearing.find(joined(ring.astype(np.float32), prompt("welcome")))) == [RINGBACK, "welcome"]


def test_one_recording_under_two_names_answers_to_both(folder: Path) -> None:
    paths = {name: write(folder / f"{name}.wav", prompt("euros")) for name in ("euros", "quids")}
    heard = Hearing(paths).find(prompt("euros"))
    assert {heard[0].name, *heard[0].also} == {"euros", "quids"}
    assert names(heard, ["quids"]) == ["quids"]
    assert names(heard, ["euros"]) == ["euros"]
    assert names(heard, ["cents"]) != ["cents"]


def test_two_prompts_that_begin_alike_are_told_apart_by_their_ends(folder: Path) -> None:
    shared, end = prompt("low-funds"), prompt("cents")
    pieces = {"short": shared, "long": joined(shared, end)}
    hearing = Hearing({name: write(folder / f"{name}.wav", piece) for name, piece in pieces.items()})
    assert [(one.name, one.also) for one in hearing.find(pieces["short"])] == [("short", ())]
    assert [(one.name, one.also) for one in hearing.find(pieces["long"])] == [("long", ())]
    (cut,) = hearing.find(shared[: len(shared) // 2])
    assert {cut.name, *cut.also} == {"short", "long"}


def test_every_wrong_expectation_is_noticed(hearing: Hearing) -> None:
    right = ["number-busy", "cents", "welcome"]
    heard = hearing.find(joined(*map(prompt, right)))
    assert names(heard, right) == right
    for place in range(3):
        for other in {*hearing.names} - {right[place]}:
            wrong = [*right[:place], other, *right[place + 1 :]]
            assert names(heard, wrong) != wrong
        assert names(heard, right[:place] + right[place + 1 :]) == right


def test_twenty_seconds_are_identified_in_three(hearing: Hearing) -> None:
    twenty_s = np.resize(joined(*map(prompt, PROMPTS)), 20 * RATE)
    began_s = time.monotonic()
    hearing.find(twenty_s)
    assert time.monotonic() - began_s < 3


def test_a_recording_is_complete_when_its_header_says_so(tmp_path: Path, hearing: Hearing) -> None:
    recording = write(tmp_path / "call.wav", prompt("welcome"))
    assert names(hearing.listen(recording)) == ["welcome"]
    header = recording.read_bytes()
    recording.write_bytes(header[:40] + bytes(4) + header[44:])
    with pytest.raises(AssertionError, match="not complete"):
        hearing.listen(recording, timeout_s=0.1)
    with pytest.raises(AssertionError, match="not complete"):
        hearing.listen(tmp_path / "nothing.wav", timeout_s=0.1)


def test_another_sampling_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        read_wav(write(tmp_path / "wide.wav", noise(0.1), rate=16000))


def test_a_network_without_sound_records_nothing(fake_network: FakeNetwork, tmp_path: Path) -> None:
    with new_world(fake_network, tmp_path) as world:
        world.usual()
        phone = world.phone().records().answers().says("hello-world").hangs_up(after_s=0.2)
        with world.running():
            world.rings()
            world.finished()
    assert phone.calls[0].recording is None
    with pytest.raises(AssertionError, match="recorded nothing"):
        _ = phone.recording


def test_silence_is_not_among_the_sounds_of_an_utterance() -> None:
    spoken = Utterance(("sound:en/silence/1", "sound:en/digits/5")) + Utterance(("sound:en/minutes",))
    assert sounds_of(spoken) == ["en/digits/5", "en/minutes"]
