"""Who has answered: the channel leaves the application for AMD, and is back with what was heard."""

import itertools
from collections import Counter

import pytest

from contract.wire import Wire

WORDS = {"a person": ["vm-goodbye", "silence/9"], "a machine": ["demo-congrats"], "nobody": ["silence/9"]}
"""A line sends silence too: to AMD a line that sends nothing is neither a person nor a machine."""


LANGUAGES = ("en", "es", "fr", "it", "ru")
GREETINGS = {
    "HUMAN": ["vm-goodbye", "vm-and", "vm-minutes", "vm-first"],
    "MACHINE": ["vm-intro", "vm-nobodyavail", "demo-congrats", "pls-hold-while-try"],
}
"""Of Asterisk's recordings: what a person says on answering is a word or two, a machine a sentence and more."""


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
        ("a machine", ["MACHINE", "LONGGREETING"]),
        ("nobody", ["MACHINE", "INITIALSILENCE"]),
    ],
)
def test_the_channel_is_back_with_what_was_heard(asterisk: Wire, who: str, heard: list[str]) -> None:
    channel = listened(asterisk, who)

    back = asterisk.events.wait("StasisStart", channel, lambda event: event["args"][:1] == ["answer-check"])

    assert back["args"][1:] == heard
    assert asterisk.events.types(channel).index("StasisEnd") > 0
    assert asterisk.delete("channels", channel).status == 204


def test_who_hangs_up_meanwhile_is_reported_as_ever(asterisk: Wire) -> None:
    channel = listened(asterisk, "nobody")
    asterisk.events.wait("StasisEnd", channel)

    assert asterisk.delete("channels", channel).status == 204

    assert asterisk.gone(channel)


@pytest.mark.nightly
@pytest.mark.real
def test_how_often_it_is_right(asterisk: Wire) -> None:
    """Decisions over recordings in five languages, as a table; most are right, and a person is seldom hung up on."""
    if asterisk.kind != "real":
        pytest.skip("the simulated Asterisk hears nothing")
    decided = Counter[tuple[str, str]]()
    for who, sounds in GREETINGS.items():
        for language, sound in itertools.product(LANGUAGES, sounds):
            channel = answered_with(asterisk, f"{language}/{sound}", "silence/9")
            back = asterisk.events.wait("StasisStart", channel, lambda event: len(event["args"]) > 1)
            decided[who, back["args"][1]] += 1
            print(f"{who:8} {language}/{sound:20} {' '.join(back['args'][1:])}")  # noqa: T201
            asterisk.delete("channels", channel)
    print(dict(decided))  # noqa: T201
    assert decided["HUMAN", "MACHINE"] <= 2
    assert decided["MACHINE", "HUMAN"] <= 4
