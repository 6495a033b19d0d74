"""Asterisk sends events that are none, and answers that nobody can read: calls go on, and the ledger stays clean."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web
from crowd import QUICK, Crowd
from deranged import examples, json_text, text, value
from fault_rig import Site, new_site
from hypothesis import given
from hypothesis import strategies as st

from stasis_callback.ari.errors import BadEvent
from stasis_callback.ari.events import Event, parse_channel, parse_event
from stasis_callback.core.rating import Rate
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork
from stasis_callback.testing.fake.model import Json

CHANNEL = {
    "id": "0123456789abcdef-a1",
    "name": "PJSIP/trunk-00000001",
    "state": "Up",
    "caller": {"name": "", "number": "420212345678"},
    "connected": {"name": "", "number": "420800123456"},
    "dialplan": {
        "context": "from-trunk",
        "exten": "s",
        "priority": 1,
        "app_name": "Stasis",
        "app_data": "stasis-callback,leg-a,0123456789abcdef",
    },
    "creationtime": "2026-11-28T10:00:00.123+0000",
}
EVENTS: list[Json] = [
    {"type": "StasisStart", "args": ["leg-a", "0123456789abcdef"], "channel": CHANNEL},
    {"type": "ChannelStateChange", "channel": CHANNEL},
    {"type": "ChannelDtmfReceived", "digit": "5", "duration_ms": 100, "channel": CHANNEL},
    {
        "type": "ChannelDestroyed",
        "cause": 16,
        "cause_txt": "Normal Clearing",
        "tech_cause": 200,
        "channel": CHANNEL,
    },
    {"type": "Dial", "dialstatus": "ANSWER", "dialstring": "420212345678@trunk", "peer": CHANNEL},
    {
        "type": "PlaybackFinished",
        "playback": {
            "id": "p1",
            "media_uri": "sound:x",
            "target_uri": "channel:0123456789abcdef-a1",
            "state": "done",
        },
    },
]


@given(st.sampled_from(EVENTS), st.randoms(use_true_random=False))
@examples(300, 20_000)
def test_a_message_is_an_event_or_a_bad_event(original: Json, dice: random.Random) -> None:
    message = json_text(dice, original | {"timestamp": "2026-11-28T10:00:00.123+0000"})
    try:
        event = parse_event(message)
    except BadEvent:
        return
    assert isinstance(event, Event)
    assert isinstance(event.at_us, int)
    assert event.channel_id is None or isinstance(event.channel_id, str)


@given(st.text())
@examples(100, 5000)
def test_any_text_is_an_event_or_a_bad_event(message: str) -> None:
    with suppress(BadEvent):
        parse_event(message)


@given(st.randoms(use_true_random=False))
@examples(200, 10_000)
def test_a_deranged_channel_is_still_a_channel(dice: random.Random) -> None:
    deranged = value(dice, CHANNEL)
    if isinstance(deranged, dict):
        channel = parse_channel(deranged)
        assert all(
            isinstance(word, str) for word in (channel.id, channel.state, channel.exten, *channel.app_args)
        )


class Babbling(FakeAsterisk):
    """Sends something deranged after every event, and answers nonsense now and then.

    It tells no lies that could be true: what it sends beside the events comes after the real one, which counts; and
    an answer is broken as a whole, so that it cannot be read.
    """

    dice = random.Random(0)
    babbles = False
    questions = 0
    garbled = 0
    """Answers that were made unreadable: every tenth."""

    async def _write(self, socket: web.WebSocketResponse, queue: asyncio.Queue[Json]) -> None:
        with suppress(ConnectionError):
            while True:
                event = await queue.get()
                await socket.send_str(json.dumps(event))
                if self.babbles:
                    await socket.send_str(self._babble(event))

    def _babble(self, event: Json) -> str:
        message = json_text(self.dice, event)
        # Nobody can tell a well-formed lie about another call, or about another service, from the truth.
        lies = '"ApplicationReplaced"' in message or '"StasisStart"' in message
        return "{}" if lies else message.encode(errors="replace").decode()

    async def _resource(self, request: web.Request) -> web.StreamResponse:
        response = await super()._resource(request)
        if not self.babbles or request.method != "GET" or response.status != 200:
            return response
        self.questions += 1
        if self.questions % 10 == 0 and isinstance(response, web.Response):
            self.garbled += 1
            whole = json.loads(response.text or "null")
            nonsense = [text(self.dice, response.text or "")[:-1], "<html>", '"x"', "17", "[17]", '{"a": []}']
            broken = self.dice.choice([one for one in nonsense if one != json.dumps(whole)])
            broken = broken.encode(errors="replace").decode()
            return web.Response(text=broken, status=200, content_type="application/json")
        return response


@pytest.fixture
def babbling(tmp_path: Path) -> Iterator[tuple[Babbling, Site]]:
    with Babbling(speed=8) as fake, new_site(FakeNetwork(fake), tmp_path) as site:
        site.sells(
            Rate("420", first_price_micros=60_000, next_price_micros=60_000),
            Rate("44", first_price_micros=120_000, next_price_micros=120_000),
        )
        site.access_number(**QUICK)
        yield fake, site


@pytest.mark.timeout(3600)
def test_calls_of_a_crowd_while_asterisk_babbles(babbling: tuple[Babbling, Site]) -> None:
    fake, site = babbling
    crowd = Crowd(site, 0, 8, pace=2, funds="1000")

    @given(st.integers(0, 2**32))
    @examples(3, 100, slow=True)
    def calls(seed: int) -> None:
        crowd.again(seed)
        fake.dice, fake.babbles = random.Random(seed), True
        with ThreadPoolExecutor(8) as callers:
            refusals = list(callers.map(lambda pair: site.rings(ani=pair.number), crowd.pairs))
        assert not any(refusal.answered for refusal in refusals)
        site.until(lambda: not site.under_way(), timeout_s=90)
        fake.babbles = False
        site.clean()

    with site.running(housekeeping_s=1) as service:
        calls()
        assert service.link.bad_events
        assert fake.garbled
        crashes = ("call.crashed", "call.failed", "worker.failed", "task.failed", "ari.handler_failed")
        assert [line for name in crashes for line in site.events(name)] == []
    assert all(0 <= xdr.duration_us < 60_000_000 for xdr in site.xdr_list())
