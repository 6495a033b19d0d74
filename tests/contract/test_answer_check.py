"""Who has answered: the channel leaves the application for AMD, and is back with what was heard."""

import pytest

from contract.wire import Wire

WORDS = {"a person": ["vm-goodbye", "silence/9"], "a machine": ["demo-congrats"], "nobody": ["silence/9"]}
"""A line sends silence too: to AMD a line that sends nothing is neither a person nor a machine."""


def listened(asterisk: Wire, who: str) -> str:
    number = asterisk.number()
    phone = asterisk.network.phone(number).answers()
    for sound in WORDS[who]:
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
