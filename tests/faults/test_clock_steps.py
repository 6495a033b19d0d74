"""The clock of a machine is stepped by an hour with calls in each stage.

Asterisk's own timers and the times of its events follow its wall clock; the service measures with the monotonic clock
beside it. Everybody is charged at most what was lived, nobody talks past the funds, and the call record says that a
clock was wrong.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_rig import STAGES, TALK, Caller, Callers, Site, pause, unavailable
from world import FRIEND

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.rating import Rate
from stasis_callback.store.rates.changes import NewRate
from stasis_callback.store.rates.tariffs import Tariffs
from stasis_callback.testing.pstn import RealNetwork
from stasis_callback.testing.stepped_clock import FaketimeUnavailable, SteppedClock

pytestmark = pytest.mark.real

HOUR_S = 3600
BOTH, ASTERISK, SERVICE = "both", "Asterisk's", "the service's"


@pytest.fixture(params=[BOTH, ASTERISK, SERVICE])
def whose(request: pytest.FixtureRequest) -> str:
    """Whose clock is stepped."""
    return str(request.param)


@pytest.fixture
def clock(whose: str, site: Site, real_network: RealNetwork, tmp_path: Path) -> SteppedClock:
    """The clock that will be stepped; Asterisk has been started anew if it is its own."""
    clock = SteppedClock(tmp_path / "clock")
    try:
        clock.environment()
        if whose != SERVICE:
            real_network.product.goes_by(clock)
    except FaketimeUnavailable as why:
        unavailable(why)
    if whose != SERVICE:
        real_network.product.stop()
        real_network.product.start()
    if whose != ASTERISK:
        site.node.clock = clock
    return clock


class Yesterday(Clock):
    """A day behind."""

    def now_us(self) -> int:
        return super().now_us() - 86_400 * US_PER_S


def _prices_of_yesterday(site: Site) -> None:
    """A price that is younger than the hour by which a clock goes back is not in force yet then."""
    rates = [NewRate(Rate(to, first_price_micros=60_000, next_price_micros=60_000)) for to in ("420", "44")]
    Tariffs(site.stores.database, Yesterday(), set).put_rates("standard", rates)


def _goes_on(caller: Caller) -> None:
    """Every caller whose call has not ended talks for two seconds, and hangs up."""
    if caller.up:
        caller.act()
        caller.to_the_talk()
        pause(2)
    caller.hang_up()


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S], ids=["ahead", "back"])
def test_an_hour_in_each_stage(site: Site, clock: SteppedClock, whose: str, step_s: int) -> None:
    callers = Callers(site)
    _prices_of_yesterday(site)
    site.node.start()
    callers.begin()
    pause(2)
    clock.step(step_s)
    if whose == SERVICE or step_s < 0:  # ahead: every timer of Asterisk is over at once
        callers.each(_goes_on)
    callers.each(lambda caller: caller.hang_up())
    site.finished(len(STAGES))
    site.charged_as_lived(
        less_s=0.5, more_s=0.5
    )  # a time before the answer is none: then the monotonic one counts
    site.clean()
    assert sum(xdr.overrun_micros for xdr in site.xdr_list()) == 0
    talk = next(xdr for xdr in site.xdr_list() if xdr.number == callers[TALK].friend_number)
    assert talk.clock_suspect is (whose != SERVICE)


@pytest.mark.parametrize("whose", [BOTH, ASTERISK], indirect=True)
def test_an_hour_back_and_nobody_talks_past_the_funds(site: Site, clock: SteppedClock) -> None:
    """Asterisk's timer now ends the talk in an hour: the service does it when the funds end."""
    site.sells(Rate("420"), Rate("44", first_price_micros=60_000, next_price_micros=60_000))
    site.access_number(announce_balance="off", announce_duration="off")
    site.account(funds="0.010")  # ten seconds
    site.phone().answers().dials(f"{FRIEND}#")
    friend = site.phone(FRIEND).answers()
    site.node.start()
    site.rings()
    friend.wait_for("answered", timeout_s=20)
    pause(2)
    clock.step(-HOUR_S)
    friend.wait_for("ended", timeout_s=15)
    site.phone().hang_up()
    site.finished()
    site.charged_as_lived(less_s=0.5, more_s=0.5)
    lived_s = ((friend.calls[0].ended_at_us or 0) - (friend.calls[0].answered_at_us or 0)) / 1e6
    assert lived_s <= 11.5
    site.clean()


@pytest.mark.parametrize("whose", [SERVICE], indirect=True)
def test_the_service_is_five_minutes_ahead_of_asterisk_and_restarted(site: Site, clock: SteppedClock) -> None:
    """The talk it finds goes on, and is charged by Asterisk's own times."""
    clock.step(300)
    callers = Callers(site, (TALK,), hold_slice_s="40", hold_extend_before_s="20")
    site.node.start()
    callers.begin()
    site.node.kill()
    pause(1)
    site.node.start()
    site.node.logged("call.recovered")
    site.node.logged("talk.extended", timeout_s=40)  # its timer was moved
    pause(2)
    assert callers[TALK].up
    callers.hang_up()
    site.finished()
    site.charged_as_lived()
    site.clean()
