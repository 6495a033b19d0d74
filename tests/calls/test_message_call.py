"""From a message that a gateway hands over to a conversation that is charged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import SecretStr
from world import ANI, FRIEND, World, new_world

from stasis_callback.clock import Clock
from stasis_callback.settings import WebSettings
from stasis_callback.web.signing import Signer, webhook_headers

SECRET = "a secret of tests, long enough to be one"
MOBILE = "420601234567"


@pytest.fixture
def world(fake_network: Any, tmp_path: Path) -> Iterator[World]:
    """What happens in Asterisk is that of any order with two numbers: the simulated one is enough."""
    with new_world(fake_network, tmp_path) as made:
        yield made


def test_a_message_connects_two_phones_and_both_legs_are_charged(world: World) -> None:
    world.usual()
    account = world.stores.accounts.named(ANI)
    world.stores.accounts.change(ANI, password="1ak45")
    world.stores.accounts.add_alias(account.id, MOBILE)
    world.stores.message_instances.add("sms", {})
    web = WebSettings(enabled=True, port=0, secret=SecretStr(SECRET))
    world.settings = world.settings.model_copy(update={"web": web})
    data = {"id": "m1", "from": f"+{MOBILE}", "text": f"p {ANI} 1ak45 sn {ANI} dn {FRIEND}"}
    body = json.dumps({"type": "message.received", "data": data}).encode()
    secret = Signer(SECRET).message_secret("sms", 1)
    subscriber, friend = world.phone().answers(), world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running() as service:
        assert service.web is not None
        url = f"http://{service.web.app_address}/api/v1/messages/sms"
        signed = webhook_headers(secret, "d1", Clock().now_us() // 1_000_000, body)
        answers = [requests.post(url, body, headers=signed, timeout=20).json() for _ in range(2)]
        assert [answer["result"] for answer in answers] == ["accepted"] * 2
        friend.wait_for("ended")
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left()
    assert (request.triggered_by, request.instance, request.outcome) == ("message", "sms", "completed")
    assert set(world.xdrs()) == {"a1", "b1"}
    assert all(xdr.amount_micros > 0 for xdr in world.xdrs().values())
