"""PostgreSQL is killed, stands still, or is cut off while somebody answers, keys a number, or talks.

Nobody is hung up on for it: what the database is needed for waits until it is there again, and is then done once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from fault_rig import MENU, STAGES, TALK, Callers, Site, network_cut, new_site, pause

from stasis_callback.clock import wait_until
from stasis_callback.store.database.database import Database
from stasis_callback.testing.postgres import PostgresServer, postgres_server
from stasis_callback.testing.pstn import RealNetwork

pytestmark = pytest.mark.real

AWAY_S = 8
LONG_S = 45

Outage = Callable[[PostgresServer], AbstractContextManager[None]]


@contextmanager
def killed(server: PostgresServer) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def frozen(server: PostgresServer) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextmanager
def cut_off(server: PostgresServer) -> Iterator[None]:
    with network_cut(server.port):
        yield


every_outage = pytest.mark.parametrize("outage", [killed, frozen, cut_off])


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def site(real_network: RealNetwork, postgres: PostgresServer, tmp_path: Path) -> Iterator[Site]:
    url = postgres.create(f"faults_{tmp_path.name.lower()}"[:60].replace("-", "_"))
    database = Database(url)
    database.migrate()
    database.close()
    with new_site(real_network, tmp_path, url) as made:
        yield made


@every_outage
def test_it_is_away_in_each_stage_and_every_call_goes_on(
    site: Site, postgres: PostgresServer, outage: Outage
) -> None:
    callers = Callers(site)
    site.node.start()
    callers.begin()
    with outage(postgres):
        callers.each(lambda caller: caller.act())
        pause(AWAY_S)
        assert [caller.stage for caller in callers.all if not caller.up] == []
    callers.each(lambda caller: caller.to_the_talk(timeout_s=30))
    pause(1)
    callers.hang_up()
    requests = site.finished(len(STAGES))
    assert {request.outcome for request in requests} == {"completed"}
    site.charged_as_lived()
    site.clean()


@every_outage
def test_the_friend_hangs_up_meanwhile(site: Site, postgres: PostgresServer, outage: Outage) -> None:
    """The subscriber is not left in silence that is charged; who hangs up then is charged what was lived."""
    callers = Callers(site, (TALK,))
    site.node.start()
    callers.begin()
    pause(1)
    talk = callers[TALK]
    with outage(postgres):
        talk.friend.hang_up()
        heard = wait_until(lambda: not talk.up or talk.hears("another number"), timeout_s=15)
        assert heard, "fifteen seconds of silence"
        callers.hang_up()
    site.finished()
    site.charged_as_lived()
    site.clean()


@pytest.mark.parametrize("outage", [killed, cut_off])
def test_a_missed_call_meanwhile_does_not_sound_like_an_accepted_one(
    site: Site, postgres: PostgresServer, outage: Outage
) -> None:
    site.usual()
    subscriber = site.phone().answers().hangs_up(after_s=1)
    site.node.start()
    with outage(postgres):
        refusal = site.network.missed_call(ani=subscriber.number, dnis="420800123456", gives_up_after_s=20)
    assert refusal.sip_status != 486
    assert not refusal.answered
    # Nothing is stuck: the next one is accepted, and called back.
    site.until(lambda: site.rings().sip_status == 486, timeout_s=30)
    subscriber.wait_for("ended", timeout_s=20)
    site.finished()
    site.clean()
    assert len(subscriber.calls) == 1


@pytest.mark.nightly
@pytest.mark.timeout(300)
@every_outage
def test_a_talk_outlives_an_outage_of_minutes_and_nobody_pays_for_silence(
    site: Site, postgres: PostgresServer, outage: Outage
) -> None:
    callers = Callers(site, (TALK, MENU))
    site.node.start()
    callers.begin()
    with outage(postgres):
        pause(LONG_S)
        assert callers[TALK].up
    pause(10)
    assert callers[TALK].up
    callers.hang_up()
    site.finished(2)
    site.charged_as_lived()
    site.clean()
