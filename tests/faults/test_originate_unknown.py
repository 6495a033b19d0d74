"""Asterisk's answer to what it was asked does not arrive: nobody is called twice, and nobody is forgotten."""

from __future__ import annotations

import pytest
from fault_rig import QUICK, Site, network_cut, pause
from world import ANI

from stasis_callback.testing.pstn import RealNetwork

pytestmark = pytest.mark.real

REQUEST_LIMIT_S = 5
"""The default of `ari.request_timeout_s`."""


def test_asterisk_stands_still_when_leg_a_is_to_be_called(site: Site, real_network: RealNetwork) -> None:
    """It reads the request when it goes on: the phone rings though the service has given up on the answer."""
    site.usual(**QUICK | {"callback_delay_s": "1"})
    subscriber = site.phone().answers().hangs_up(after_s=1)
    site.node.start()
    assert site.rings().sip_status == 486
    real_network.product.freeze()
    pause(REQUEST_LIMIT_S + 2)
    real_network.product.thaw()
    subscriber.wait_for("ended", timeout_s=30)
    (request,) = site.finished()
    pause(2)  # a second call would come now
    assert len(subscriber.calls) == 1
    assert request.outcome in ("hung_up", "no_destination")
    site.charged_as_lived()
    site.clean()


def test_the_network_to_asterisk_is_cut_when_leg_a_is_to_be_called(
    site: Site, real_network: RealNetwork
) -> None:
    """Nothing arrives there: the phone does not ring, and is called when Asterisk can be reached again."""
    site.usual(**QUICK | {"callback_delay_s": "1"})
    subscriber = site.phone(ANI).answers().hangs_up(after_s=1)
    site.node.start()
    assert site.rings().sip_status == 486
    with network_cut(real_network.product.http_port):
        pause(REQUEST_LIMIT_S + 2)
    subscriber.wait_for("ended", timeout_s=40)
    (request,) = site.finished()
    pause(2)
    assert len(subscriber.calls) == 1
    assert request.outcome in ("hung_up", "no_destination")
    site.charged_as_lived()
    site.clean()
