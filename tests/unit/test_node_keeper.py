"""The keeper of a running node: its name, its signs of life, and what it makes of others' calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from node_rig import DEAD_AFTER_S, Machine, Process
from shop import NOON_US, Shop, talked

from stasis_callback.ari.cel import CelJournal
from stasis_callback.clock import US_PER_S, Clock, wait_until
from stasis_callback.core.errors import NodeAlive, StoreUnavailable
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.words import Ending
from stasis_callback.engine.nodes import take_over
from stasis_callback.store.audit import verify
from stasis_callback.store.calls.journals import Life
from stasis_callback.store.calls.legs import LegEnd, XdrView
from stasis_callback.store.calls.requests import Again, RequestView


@pytest.fixture
def start(shop: Shop) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def one(name: str, asterisk: str = "A", journal: CelJournal | None = None) -> Process:
        words = (journal,) if journal else ()
        made.append(Process(shop, Machine(name, asterisk), *words))
        return made[-1].starts()

    yield one
    for process in made:
        process.stores.nodes._lock.release()


def dead_with_a_call(
    shop: Shop, start: Callable[..., Process], *, answered: bool, asterisk: str = "A"
) -> RequestView:
    """A node that claimed a callback at noon, dialled, renewed the lease 20 s later, and is dead."""
    process = start("dead", asterisk)
    shop.missed_call(shop.account("442000"))
    (request,) = process.stores.requests.claim(1)
    assert process.dial(request.id, f"{request.id}-a1")
    shop.clock.passes(5)
    if answered:
        process.stores.requests.answered(request)
        process.stores.calls.leg_answered(f"{request.id}-a1", shop.clock.at_us)
    shop.clock.passes(15)
    process.stores.requests.renew_leases([request.id])
    process.lose_name()
    return request


def only_xdr(shop: Shop) -> XdrView:
    (xdr,) = shop.stores.calls.xdrs()
    return xdr


def state(shop: Shop, request: RequestView) -> tuple[str, str]:
    now = shop.stores.requests.get(request.id)
    return str(now.state), now.outcome


# --- when --------------------------------------------------------------------------------------------------------


def test_a_dead_node_is_waited_for_as_long_as_the_settings_say(
    shop: Shop, start: Callable[..., Process]
) -> None:
    request = dead_with_a_call(shop, start, answered=False)
    heir = start("heir", "B")
    heir.keeper.look()
    shop.clock.passes(DEAD_AFTER_S - 6)
    heir.keeper.look()
    assert state(shop, request)[0] == "dialing"
    shop.clock.passes(6)
    heir.keeper.look()
    assert state(shop, request) == ("done", "interrupted")
    (event,) = shop.stores.nodes.history()
    assert (event.node, event.event, event.operator) == ("dead", "taken over", "node heir")
    assert event.reason == "no sign of life for 300 s"


def test_a_clock_that_is_set_declares_nobody_dead(shop: Shop, start: Callable[..., Process]) -> None:
    request = dead_with_a_call(shop, start, answered=False)
    heir = start("heir", "B")
    heir.keeper.look()
    shop.clock.passes(3600)
    heir.clock.set_by_s = 3594  # six seconds have passed
    heir.keeper.look()
    assert state(shop, request)[0] == "dialing"


def test_every_sign_of_life_begins_the_waiting_anew(shop: Shop, start: Callable[..., Process]) -> None:
    """That of a service from before there were locks: it renews leases, and has no lock."""
    request = dead_with_a_call(shop, start, answered=False)
    heir = start("heir", "B")
    for _ in range(4):
        heir.keeper.look()
        shop.clock.passes(DEAD_AFTER_S - 1)
        shop.sql("UPDATE request SET lease_until_us = lease_until_us + 1")
    heir.keeper.look()
    assert state(shop, request)[0] == "dialing"


def test_the_node_on_its_asterisk_adopts_at_once(shop: Shop, start: Callable[..., Process]) -> None:
    request = dead_with_a_call(shop, start, answered=True)
    stranger, renamed = start("stranger", "B"), start("renamed", "A")
    for process in (stranger, renamed):
        process.keeper.look()
    assert [found.id for found in renamed.stores.requests.left_open()] == [request.id]
    assert stranger.stores.requests.left_open() == []
    assert state(shop, request)[0] == "talking"
    assert shop.stores.nodes.history()[0].event == "adopted"


def test_a_node_on_a_new_asterisk_ends_what_its_name_has_left_on_the_old_one(
    shop: Shop, start: Callable[..., Process]
) -> None:
    request = dead_with_a_call(shop, start, answered=False)
    start("dead", "B").keeper.look()
    assert state(shop, request) == ("done", "interrupted")


# --- what becomes of it ------------------------------------------------------------------------------------------


def journal_of(folder: Path, *lines: str) -> CelJournal:
    path = folder / "cel.csv"
    path.write_text("".join(f"{line}\n" for line in lines))
    return CelJournal(path)


def test_what_was_answered_is_charged_until_its_node_last_lived(
    shop: Shop, start: Callable[..., Process]
) -> None:
    request = dead_with_a_call(shop, start, answered=True)
    shop.clock.passes(3600)
    assert take_over(start("heir").stores, CelJournal("/nonexistent"), "dead", "jan", "x").done == [
        request.id
    ]
    xdr = only_xdr(shop)
    assert (xdr.source, xdr.outcome, xdr.duration_us) == ("estimated", "answered", 15 * US_PER_S)
    assert verify(shop.stores.database, shop.stores.tariffs) == []


def test_what_our_journal_knows_is_charged_exactly(
    shop: Shop, start: Callable[..., Process], tmp_path: Path
) -> None:
    request = dead_with_a_call(shop, start, answered=True)
    leg, noon_s = f"{request.id}-a1", NOON_US // US_PER_S
    journal = journal_of(
        tmp_path,
        f'"CHAN_START","{noon_s}.000000","{leg}","{leg}",""',
        f'"ANSWER","{noon_s + 5}.000000","{leg}","{leg}",""',
        f'"HANGUP","{noon_s + 12}.500000","{leg}","{leg}","{{""hangupcause"":16}}"',
    )
    take_over(start("heir").stores, journal, "dead", "jan", "x")
    assert (only_xdr(shop).source, only_xdr(shop).duration_us) == ("cel", 7_500_000)


def test_a_journal_that_cannot_be_read_does_not_stop_it(
    shop: Shop, start: Callable[..., Process], tmp_path: Path
) -> None:
    request = dead_with_a_call(shop, start, answered=True)
    assert take_over(start("heir").stores, CelJournal(tmp_path), "dead", "jan", "x").done == [request.id]
    assert only_xdr(shop).source == "estimated"


def test_what_may_have_rung_costs_nothing_and_is_not_rung_again(
    shop: Shop, start: Callable[..., Process]
) -> None:
    request = dead_with_a_call(shop, start, answered=False)
    take_over(start("heir").stores, CelJournal("/nonexistent"), "dead", "jan", "x")
    assert (only_xdr(shop).outcome, only_xdr(shop).amount_micros) == ("failed", 0)
    assert state(shop, request) == ("done", "interrupted")
    assert shop.missed_call(shop.stores.accounts.named("442000"), dedupe_window_s="0") == ""


@pytest.mark.parametrize(
    ("outcome", "becomes"),
    [(Outcome.NOT_DIALED, "queued"), (Outcome.BUSY, "done"), (Outcome.CONGESTION, "done")],
)
def test_after_a_leg_that_is_settled_it_counts_whether_it_rang(
    shop: Shop, start: Callable[..., Process], outcome: Outcome, becomes: str
) -> None:
    request = dead_with_a_call(shop, start, answered=False)
    shop.stores.calls.settle(f"{request.id}-a1", LegEnd(None, NOON_US, outcome, 0, "events"))
    take_over(start("heir").stores, CelJournal("/nonexistent"), "dead", "jan", "x")
    assert state(shop, request)[0] == becomes


def test_an_earlier_attempt_that_rang_does_not_keep_this_one_from_others(
    shop: Shop, start: Callable[..., Process]
) -> None:
    process = start("dead")
    shop.missed_call(shop.account("442000"))
    (request,) = process.stores.requests.claim(1)
    process.dial(request.id, f"{request.id}-a1")
    process.stores.calls.settle(f"{request.id}-a1", LegEnd(None, NOON_US, Outcome.BUSY, 17, "events"))
    process.stores.requests.retry(request, Again(30.0), outcome=Ending.BUSY)
    shop.clock.passes(31)
    (again,) = process.stores.requests.claim(1)
    process.lose_name()
    assert again.claims == 2
    take_over(start("heir").stores, CelJournal("/nonexistent"), "dead", "jan", "x")
    assert state(shop, request)[0] == "queued"


def test_one_call_that_cannot_be_ended_stops_no_other(shop: Shop, start: Callable[..., Process]) -> None:
    process = start("dead")
    for number in ("442001", "442002"):
        shop.missed_call(shop.account(number))
    broken, whole = process.stores.requests.claim(2)
    for request in (broken, whole):
        process.dial(request.id, f"{request.id}-a1")
    shop.stores.calls.settle(f"{broken.id}-a1", talked(1))
    shop.sql(f"UPDATE leg SET state = 'dialing' WHERE id = '{broken.id}-a1'")  # its hold is closed: a bug
    process.lose_name()
    taken = take_over(start("heir").stores, CelJournal("/nonexistent"), "dead", "jan", "x")
    assert (taken.done, list(taken.failed)) == ([whole.id], [broken.id])
    assert state(shop, broken)[0] == "dialing"


# --- the name ----------------------------------------------------------------------------------------------------


def test_a_start_waits_while_somebody_stands_in(shop: Shop) -> None:
    process = Process(shop, Machine("n", "A"))
    process.keeper._clock = Clock()
    with shop.stores.nodes.standing_in("n") as alone:
        assert alone
        starting = threading.Thread(target=process.keeper.start)
        starting.start()
        assert not wait_until(process.keeper.may_dial, timeout_s=1)
    starting.join(20)
    assert process.keeper.may_dial()
    process.lose_name()


def test_a_second_start_is_refused_once_the_first_gives_a_sign_of_life(
    shop: Shop, start: Callable[..., Process]
) -> None:
    first, second = start("n"), Process(shop, Machine("n", "B"))
    second.keeper._clock = Clock()
    refused: list[NodeAlive] = []

    def try_it() -> None:
        with pytest.raises(NodeAlive) as error:
            second.keeper.start()
        refused.append(error.value)

    trying = threading.Thread(target=try_it)
    trying.start()
    while not refused:
        shop.clock.passes(6)
        first.keeper.look()
        trying.join(0.2)
    assert "a node named n is already running" in str(refused[0])
    assert not second.keeper.may_dial()


def test_a_name_that_was_lost_and_is_free_is_taken_again(shop: Shop, start: Callable[..., Process]) -> None:
    process = start("n")
    process.keeper.look()
    process.lose_name()
    process.keeper.look()
    assert (process.keeper.may_dial(), process.replaced) == (True, False)
    assert shop.stores.nodes.named("n").state == "alive"


def test_a_process_whose_name_is_anothers_ends(shop: Shop, start: Callable[..., Process]) -> None:
    process = start("n")
    process.lose_name()
    start("n", "B")
    process.keeper.look()
    assert (process.keeper.may_dial(), process.replaced) == (False, True)


def test_a_node_that_was_removed_while_its_name_was_lost_ends(
    shop: Shop, start: Callable[..., Process]
) -> None:
    process = start("n")
    process.lose_name()
    shop.stores.nodes.remove("n", operator="jan", reason="")
    process.keeper.look()
    assert (process.keeper.may_dial(), process.replaced) == (False, True)


def test_a_drained_node_says_so_to_its_dialler(shop: Shop, start: Callable[..., Process]) -> None:
    process = start("n")
    for draining in (True, False):
        shop.stores.nodes.set_draining("n", draining, operator="jan", reason="")
        shop.clock.passes(6)
        process.keeper.look()
        assert process.keeper.may_dial() is not draining


def test_a_database_that_is_away_ends_nothing(
    shop: Shop, start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("n")

    def away(_: object) -> str:
        raise StoreUnavailable("the database is unavailable: away")

    with monkeypatch.context() as patched:
        patched.setattr(process.stores.nodes, "beat", away)
        shop.clock.passes(6)
        process.keeper.look()
    process.keeper.look()
    assert process.keeper.may_dial()
    assert shop.stores.nodes.named("n").seen_at_us == shop.clock.now_us()


# --- a forwarded journal -----------------------------------------------------------------------------------------


def tells(
    shop: Shop, request: RequestView, ended_at_s: float | None = None, asterisk: str = "morning"
) -> None:
    """The dead node's journal is forwarded: its leg was answered at 12:00:05, and may have ended."""
    ended_at_us = None if ended_at_s is None else NOON_US + int(ended_at_s * US_PER_S)
    life = Life(f"{request.id}-a1", NOON_US, NOON_US + 5 * US_PER_S, ended_at_us, 16 if ended_at_us else None)
    shop.stores.journals.keep("dead", [life], "1:1", asterisk)


def looks_for(heir: Process, shop: Shop, seconds: int, tell: Callable[[], None] = lambda: None) -> None:
    """So many seconds pass, in which the heir looks after others, and the forwarder tells what it has to tell."""
    for _ in range(seconds // 10):
        shop.clock.passes(10)
        tell()
        heir.keeper.look()


def test_a_call_that_goes_on_in_a_dead_nodes_asterisk_is_ended_when_it_has_ended_there(
    shop: Shop, start: Callable[..., Process]
) -> None:
    """Its timer ends it there; nobody is rung meanwhile, and what it cost is known to the microsecond."""
    request = dead_with_a_call(shop, start, answered=True)
    heir = start("heir", "B")
    looks_for(heir, shop, 2 * DEAD_AFTER_S, lambda: tells(shop, request))
    assert state(shop, request)[0] == "talking"
    tells(shop, request, ended_at_s=605.25)
    heir.keeper.look()
    shop.clock.passes(6)
    heir.keeper.look()
    assert state(shop, request) == ("done", "interrupted")
    xdr = only_xdr(shop)
    assert (xdr.source, xdr.duration_us, xdr.cause) == ("cel", 600_250_000, 16)
    assert verify(shop.stores.database, shop.stores.tariffs) == []


@pytest.mark.parametrize("goes", ["is not forwarded any more", "comes from another start of its Asterisk"])
def test_a_call_whose_end_nobody_will_tell_is_charged_as_far_as_it_is_known(
    shop: Shop, start: Callable[..., Process], goes: str
) -> None:
    request = dead_with_a_call(shop, start, answered=True)
    heir = start("heir", "B")
    if goes == "is not forwarded any more":
        tells(shop, request)
        looks_for(heir, shop, DEAD_AFTER_S + 10)
    else:
        looks_for(heir, shop, DEAD_AFTER_S + 10, lambda: tells(shop, request, asterisk="evening"))
    assert state(shop, request) == ("done", "interrupted")
    assert only_xdr(shop).source == "estimated"


def test_an_operator_need_not_wait_for_a_call_to_end(shop: Shop, start: Callable[..., Process]) -> None:
    request = dead_with_a_call(shop, start, answered=True)
    tells(shop, request)
    taken = take_over(start("heir", "B").stores, CelJournal("/nonexistent"), "dead", "jan", "x")
    assert taken.done == [request.id]
    assert only_xdr(shop).source == "estimated"


@pytest.mark.parametrize("step_s", [-3600, -10, 10, 3600])
def test_a_clock_that_was_set_in_the_call_charges_no_time_that_nobody_lived(
    shop: Shop, start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch, step_s: int
) -> None:
    """The node was last known to live 15 s after the answer, by a clock that nobody sets."""
    steady = shop.clock.at_us
    monkeypatch.setattr(shop.clock, "mark", lambda ago_s=0.0: f"shop:{steady - int(ago_s * US_PER_S)}")
    process = start("dead")
    shop.missed_call(shop.account("442000"))
    (request,) = process.stores.requests.claim(1)
    assert process.dial(request.id, f"{request.id}-a1")
    process.stores.requests.answered(request)
    process.stores.calls.leg_answered(f"{request.id}-a1", shop.clock.at_us)
    steady += 15 * US_PER_S
    shop.clock.passes(15 + step_s)
    process.stores.requests.renew_leases([request.id])
    process.lose_name()
    shop.clock.passes(7200)
    take_over(start("heir").stores, CelJournal("/nonexistent"), "dead", "jan", "x")
    assert (only_xdr(shop).source, only_xdr(shop).duration_us) == ("estimated", 15 * US_PER_S)
