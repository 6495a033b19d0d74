"""Who has answered: the channel leaves the application for AMD, and is back with what was heard."""

from pathlib import Path

import pytest

from contract.wire import Wire
from stasis_callback.ivr.call import verdict

WORDS = {"a person": ["vm-goodbye", "silence/9"], "a machine": ["demo-congrats"], "nobody": ["silence/9"]}
"""A line sends silence too: to AMD a line that sends nothing is neither a person nor a machine."""


def listened(asterisk: Wire, who: str) -> str:
    return answered_with(asterisk, *WORDS[who])


def answered_with(asterisk: Wire, *sounds: str) -> str:
    number = asterisk.number()
    phone = asterisk.network.phone(number).answers()
    for sound in sounds:
        phone.says(sound, after_s=0.2)
    channel = asterisk.originate(number)
    asterisk.events.wait("StasisStart", channel)
    body = {"context": "answer-check", "extension": "s", "priority": 1}
    assert asterisk.post("channels", channel, "continue", body=body).status == 204
    return channel


@pytest.mark.parametrize(
    ("who", "heard"),
    [
        ("a person", ["HUMAN", "HUMAN"]),
        # And what a second look says, of which a busy Asterisk is not sure.
        ("a machine", ["MACHINE", "LONGGREETING"]),
        ("nobody", ["MACHINE", "INITIALSILENCE"]),
    ],
)
def test_the_channel_is_back_with_what_was_heard(asterisk: Wire, who: str, heard: list[str]) -> None:
    channel = listened(asterisk, who)

    back = asterisk.events.wait("StasisStart", channel, lambda event: event["args"][:1] == ["answer-check"])

    assert back["args"][1 : len(heard) + 1] == heard
    assert back["args"][3::2] in ([["MACHINE"], ["NOTSURE"]] if who == "a machine" else [[]])
    assert asterisk.events.types(channel).index("StasisEnd") > 0
    assert asterisk.delete("channels", channel).status == 204


def test_who_hangs_up_meanwhile_is_reported_as_ever(asterisk: Wire) -> None:
    channel = listened(asterisk, "nobody")
    asterisk.events.wait("StasisEnd", channel)

    assert asterisk.delete("channels", channel).status == 204

    assert asterisk.gone(channel)


# What a phone says (core sounds, seconds of silence), and who is there.
RECORDINGS = {
    "a word": (["vm-goodbye", 9], "person"),
    "a word after 1.5 s": ([1.5, "vm-goodbye", 9], "person"),
    "a short sentence (1.1 s)": (["please-try-again", 9], "person"),
    "two short phrases": (["vm-goodbye", 0.2, "vm-first", 9], "person"),
    "four short phrases": (["vm-goodbye", 0.2, "vm-received", 0.2, "im-sorry", 0.2, "vm-goodbye", 9], "person"),
    "a sentence of 2.5 s": (["vm-nobodyavail", 9], "person"),
    "nothing": ([9], "person"),
    "a word after 3 s": ([3, "vm-goodbye", 9], "person"),
    "a sentence of 5 s": (["vm-intro", 9], "machine"),
    "speech that goes on": (["demo-congrats"], "machine"),
    "a word, 0.3 s, speech that goes on": (["vm-goodbye", 0.3, "demo-congrats"], "machine"),
    "a sentence of 2.5 s and a beep": (["vm-nobodyavail", 0.3, "beep", 9], "machine"),
    "a word, 2 s, speech that goes on": (["vm-goodbye", 2, "demo-congrats"], "machine"),
    "a beep alone": (["beep", 9], "machine"),
}  # fmt: skip
DECIDED = {"HUMAN": "person", "MACHINE": "machine", "NOTSURE": "press 1"}
RIGHT = {"person": ("person", "press 1"), "machine": ("machine", "press 1")}
DECISION = Path(__file__).parents[2] / "docs" / "decisions" / "0040-offers-answers-and-silence.md"


@pytest.mark.real
@pytest.mark.parametrize("asterisk", ["real"], indirect=True)  # the simulated one hears nothing
def test_how_often_it_is_right(asterisk: Wire) -> None:
    """Decisions over recordings, all at once, right and wrong: the table of the decision."""
    sounds = {
        what: asterisk.network.new_sound(f"answer-{n}", RECORDINGS[what][0])
        for n, what in enumerate(RECORDINGS)
    }
    table = DECISION.read_text().splitlines()
    for _ in range(2):  # a machine that is busy tears what is said: once more
        channels = {what: answered_with(asterisk, sound) for what, sound in sounds.items()}
        rows = {what: _decided(asterisk, what, channel) for what, channel in channels.items()}
        sounds = {what: sounds[what] for what, row in rows.items() if row not in table}
    assert {what: rows[what] for what in sounds} == {}


def _decided(asterisk: Wire, what: str, channel: str) -> str:
    back = asterisk.events.wait("StasisStart", channel, lambda event: len(event["args"]) > 1)
    asterisk.delete("channels", channel)
    is_there, decided = RECORDINGS[what][1], DECIDED[verdict(tuple(back["args"][1:]))]
    return f"| {what} | {is_there} | {decided} | {'right' if decided in RIGHT[is_there] else 'wrong'} |"
