"""What people heard on the telephone, found in the audio that arrived at their phones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from world import ACCESS, FRIEND, World, new_world

from stasis_callback.ari.client import AriClient
from stasis_callback.ari.link import AriLink
from stasis_callback.clock import wait_until
from stasis_callback.ivr.prompts import Prompt, Prompts, Utterance
from stasis_callback.ivr.speech import Speech
from stasis_callback.resources import sounds_dir
from stasis_callback.testing.hearing import RINGBACK, Heard, Hearing, names, sounds_of
from stasis_callback.testing.pstn import RealNetwork

pytestmark = pytest.mark.real

LANGUAGES = ["en", "es", "fr", "it", "ru"]
LINES = 12


@pytest.fixture
def world(real_network: RealNetwork, tmp_path: Path) -> Iterator[World]:
    with new_world(real_network, tmp_path) as made:
        yield made


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def prompts(language: str) -> Prompts:
    return Prompts(sounds_dir(), language)


@pytest.fixture
def hearing(real_network: RealNetwork, language: str) -> Hearing:
    return Hearing(real_network.sounds(language))


def test_both_hear_the_main_conversation_word_for_word(
    world: World, hearing: Hearing, prompts: Prompts
) -> None:
    speech = Speech(prompts)

    def words(prompt: Prompt) -> list[str]:
        return sounds_of(prompts.say(prompt))

    said_by_friend, said_by_subscriber = words(Prompt.NUMBER_BUSY)[0], words(Prompt.WELCOME)[0]
    world.usual(
        funds="10.00", languages=prompts.language, destination_attempts="1", first_digit_timeout_s="1"
    )
    subscriber = world.phone().records().answers(after_s=0.5)
    friend = (
        world.phone(FRIEND).records().answers(after_s=1).says(said_by_friend, after_s=3).hangs_up(after_s=4)
    )
    with world.running():
        world.rings()
        world.announced(prompts.text(Prompt.ENTER_DESTINATION))
        time.sleep(1.0)  # listening for a moment before keying
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("answered", timeout_s=30)
        subscriber.say(said_by_subscriber)
        subscriber.wait_for("ended", timeout_s=60)
        world.finished()
        world.nothing_left()

    heard = hearing.listen(subscriber.recording)
    before = [*words(Prompt.BALANCE_IS), *sounds_of(speech.money(10_000_000, "USD"))]
    after = [
        *words(Prompt.MAXIMUM_DURATION_IS),
        *sounds_of(talk_time_said(world, prompts)),
        RINGBACK,
        said_by_friend,
        *words(Prompt.ENTER_ANOTHER),
        *words(Prompt.TRY_AGAIN),
        *words(Prompt.GOODBYE),
    ]
    # The first key ended the request for a number, somewhere after its beginning.
    request = words(Prompt.ENTER_DESTINATION)[: len(heard) - len(before) - len(after)]
    assert request
    right = [*before, *request, *after]
    listed = names(heard, right)
    # On a busy machine packets may come too late: of all sounds one may be spoilt, but none another.
    spoilt = [place for place, name in enumerate(listed) if name == "?"]
    assert len(spoilt) <= 1, listed
    assert [right[place] if place in spoilt else name for place, name in enumerate(listed)] == right
    cut_short = [one.name for one in heard if not one.whole]
    assert set(cut_short) <= {request[-1], RINGBACK}
    assert_a_wrong_expectation_fails(heard, right, hearing)
    assert names(hearing.listen(friend.recording)) == [said_by_subscriber]


def talk_time_said(world: World, prompts: Prompts) -> Utterance:
    """The talk time as the service wanted it said; $10 at 18 cents a minute for both legs, less what leg A used."""
    speech, lead_in = Speech(prompts), prompts.text(Prompt.MAXIMUM_DURATION_IS)
    times = (speech.duration(seconds) for seconds in range(3333 - 40, 3333))
    return next(time for time in times if f"{lead_in} {time.text}" in world.said)


def assert_a_wrong_expectation_fails(heard: list[Heard], right: list[str], hearing: Hearing) -> None:
    """One word too few, one too many, two exchanged, one replaced by any other."""
    for place, name in enumerate(right):
        before, after = right[:place], right[place + 1 :]
        wrong = [before + after, [*before, name, name, *after], [*before, *after[:1], name, *after[1:]]]
        wrong += [[*before, other, *after] for other in hearing.names if other != name]
        for expected in wrong:
            assert expected == right or names(heard, expected) != expected, expected


def recorded(
    real_network: RealNetwork, hearing: Hearing, shares: dict[str, list[str]], silence: str
) -> dict[str, list[Heard]]:
    """What the phones of these numbers hear when each is played its share of the sounds, all at a time."""
    app = "hearing"
    client = AriClient(real_network.ari_url, real_network.ari_username, real_network.ari_password, app)
    link = AriLink(
        client,
        on_unwatched=lambda event: None,
        on_connected=lambda: None,
        on_lost=lambda reason: None,
        on_replaced=lambda: None,
    )
    link.start()
    with closing(client):
        assert link.wait_connected(5)
        for number in shares:
            real_network.phone(number).forget().records().answers().dials("12345*#", after_s=2)
            client.channels.originate(
                f"PJSIP/{number}@{real_network.trunk_name}",
                f"heard-{number}",
                app_args=["test"],
                caller_id=ACCESS,
                ring_timeout_s=10,
                variables={},
            )
        for number, share in shares.items():
            real_network.phone(number).wait_for("answered")
            play(client, f"heard-{number}", [*share, silence])
        playing = [("playbacks", f"heard-{number}-p") for number in shares]
        assert wait_until(lambda: all(client.rest.fetch(*path) is None for path in playing), timeout_s=60)
        for number in shares:
            real_network.phone(number).hang_up()
            real_network.phone(number).wait_for("ended")
    link.stop()
    return {number: hearing.listen(real_network.phone(number).recording) for number in shares}


def test_every_sound_the_service_uses_is_told_from_all_others(
    real_network: RealNetwork, hearing: Hearing, prompts: Prompts
) -> None:
    """Also that many phones record at a time, and that keys pressed meanwhile spoil nothing."""
    used = sorted({name for text in prompts.texts for name in sounds_of(prompts.say(text))})
    assert set(used) <= set(hearing.names)
    shares = {f"44207000{n:04}": used[n::LINES] for n in range(LINES)}
    heard = recorded(real_network, hearing, shares, f"{prompts.language}/silence/1")
    # A machine that is busy with something else spoils a recording now and then: those are made again.
    spoilt = {number: share for number, share in shares.items() if names(heard[number], share) != share}
    if spoilt:
        heard |= recorded(real_network, hearing, spoilt, f"{prompts.language}/silence/1")
    assert {number: names(heard[number], share) for number, share in shares.items()} == shares
    assert all(one.whole and one.score > 0.9 for found in heard.values() for one in found)


def play(client: AriClient, channel_id: str, sounds: list[str]) -> None:
    """The phone has answered; its channel is ours a moment later."""
    media, channel = [f"sound:{name}" for name in sounds], client.channel(channel_id)
    assert wait_until(lambda: channel.play(media, f"{channel_id}-p") is not None, timeout_s=5)
