"""Asterisk, or the service, stands still for a while: a hung disk, a machine that swaps, SIGSTOP."""

from __future__ import annotations

import pytest
from fault_rig import MENU, STAGES, TALK, Callers, Site, pause
from world import FRIEND

from stasis_callback.clock import US_PER_S
from stasis_callback.core.rating import Rate
from stasis_callback.testing.pstn import RealNetwork

pytestmark = pytest.mark.real

LONG_S = 8
"""Longer than it takes the service to notice, which is 5 s."""


def test_asterisk_stands_still_in_each_stage_and_every_call_goes_on(
    site: Site, real_network: RealNetwork
) -> None:
    callers = Callers(site)
    site.node.start()
    callers.begin()
    real_network.product.freeze()
    pause(LONG_S)
    real_network.product.thaw()
    site.node.logged("asterisk.connected", 2)
    callers.each(lambda caller: caller.act())
    callers.each(lambda caller: caller.to_the_talk())
    pause(1)
    callers.hang_up()
    requests = site.finished(len(STAGES))
    assert {request.outcome for request in requests} == {"completed"}
    site.charged_as_lived()
    site.clean()


def test_who_hung_up_just_before_does_not_pay_for_the_freeze(site: Site, real_network: RealNetwork) -> None:
    callers = Callers(site, (TALK, MENU))
    site.node.start()
    callers.begin()
    pause(1)
    real_network.product.freeze()
    callers.hang_up()  # what they send waits before Asterisk's door
    pause(LONG_S)
    real_network.product.thaw()
    site.finished(2)
    # When exactly Asterisk stopped nobody knows: it was last heard of a moment before.
    site.charged_as_lived(less_s=6, more_s=0.5)
    site.clean()


def test_the_service_stands_still_while_leg_b_is_answered_and_nobody_talks_past_the_funds(site: Site) -> None:
    site.sells(Rate("420"), Rate("44", first_price_micros=60_000, next_price_micros=60_000))
    site.access_number(announce_balance="off", announce_duration="off")
    site.account(funds="0.010")  # ten seconds
    site.phone().answers().dials(f"{FRIEND}#")
    friend = site.phone(FRIEND)
    site.node.start()
    site.rings()
    friend.wait_for("ringing", timeout_s=20)
    site.node.freeze()
    friend.answer()
    friend.wait_for("answered")
    pause(7)
    site.node.thaw()
    talked = friend.wait_for("ended", timeout_s=20)
    site.phone().hang_up()
    site.finished()
    assert ((talked.ended_at_us or 0) - (talked.answered_at_us or 0)) / US_PER_S <= 10.8
    site.charged_as_lived()
    site.clean()
    assert sum(xdr.overrun_micros for xdr in site.xdr_list()) == 0


def test_the_service_stands_still_in_each_stage_and_every_call_goes_on(site: Site) -> None:
    callers = Callers(site)
    site.node.start()
    callers.begin()
    site.node.freeze()
    callers.each(lambda caller: caller.act())
    pause(8)
    site.node.thaw()
    callers.each(lambda caller: caller.to_the_talk())
    pause(1)
    callers.hang_up()
    requests = site.finished(len(STAGES))
    assert {request.outcome for request in requests} == {"completed"}
    site.charged_as_lived()
    site.clean()
