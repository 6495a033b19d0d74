"""The power goes: service and Asterisk end at once, or Asterisk alone. Nobody pays for time after Asterisk lived."""

from __future__ import annotations

import pytest
from fault_rig import RINGING_A, STAGES, Callers, Site, pause

from stasis_callback.testing.pstn import RealNetwork

pytestmark = pytest.mark.real

SEEN_LATE_S = 6.0
"""What only a look every few seconds could have told: nobody is charged for it."""


@pytest.fixture(params=[4, pytest.param(45, marks=pytest.mark.nightly)], ids="{}s".format)
def away_s(request: pytest.FixtureRequest) -> float:
    """The duration of the outage."""
    return float(request.param)


def test_power_cut_in_each_stage(site: Site, real_network: RealNetwork, away_s: float) -> None:
    callers = Callers(site)
    site.node.start()
    callers.begin()
    pause(2)
    site.node.kill()
    died_us = _asterisk_dies(site, real_network, callers)
    pause(away_s)
    real_network.product.start()
    site.node.start()
    _nobody_pays_for_the_dark(site, callers, died_us)


def test_asterisk_alone_is_killed_and_away(site: Site, real_network: RealNetwork, away_s: float) -> None:
    callers = Callers(site)
    site.node.start()
    callers.begin()
    pause(2)
    died_us = _asterisk_dies(site, real_network, callers)
    pause(away_s)
    real_network.product.start()
    _nobody_pays_for_the_dark(site, callers, died_us)


def _asterisk_dies(site: Site, network: RealNetwork, callers: Callers) -> int:
    """Kill Asterisk, and end all calls; the time of the kill."""
    network.product.kill()
    died_us = site.service_clock_us()
    callers.hang_up()
    return died_us


def _nobody_pays_for_the_dark(site: Site, callers: Callers, died_us: int) -> None:
    """Three calls are over and cost what was lived of them; the phone that only rang rings again."""
    again = callers[RINGING_A]
    site.finished(len(STAGES) - 1)
    for caller in callers.all:
        if caller is not again:
            site.charged_as_lived(only=caller.number, until_us=died_us, less_s=SEEN_LATE_S)
            site.charged_as_lived(only=caller.friend_number, until_us=died_us, less_s=SEEN_LATE_S)
    again.subscriber.wait_for("ringing", call=2, timeout_s=20)
    again.act()
    again.to_the_talk()
    again.hang_up()
    site.finished(len(STAGES))
    site.charged_as_lived(only=again.number)
    site.charged_as_lived(only=again.friend_number)
    site.clean()
