"""A service on the shop's database as far as nodes are concerned: its stores, its keeper, and no threads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from shop import SetClock, Shop

from stasis_callback.ari.cel import CelJournal
from stasis_callback.ari.client import AriClient, AsteriskInfo
from stasis_callback.clock import US_PER_S, Clock, wait_until
from stasis_callback.core.errors import NotOurs
from stasis_callback.engine.nodes import NodeKeeper
from stasis_callback.store.calls.legs import Calls, Fare
from stasis_callback.store.calls.requests import Requests, RequestView
from stasis_callback.store.node.nodes import Nodes

DEAD_AFTER_S = 300
NO_JOURNAL = CelJournal(Path("/nonexistent/journal.csv"))


class ShopClock(Clock):
    """The shop's time, also for what does not jump, unless it is set; threads are not begun: tests do their work."""

    def __init__(self, clock: SetClock) -> None:
        self._clock = clock
        self.set_by_s = 0.0

    def now_us(self) -> int:
        return self._clock.now_us()

    def monotonic_s(self) -> float:
        return self._clock.at_us / US_PER_S - self.set_by_s

    def start_thread(self, work: object, name: str) -> None:
        pass


@dataclass(frozen=True)
class Machine:
    """Where a service can be started. Two of them have one Asterisk: a node that was given another name."""

    name: str
    asterisk: str
    copied_id: str = ""
    """What this Asterisk calls itself, where it has the id of another one."""

    @property
    def entity_id(self) -> str:
        return self.copied_id or self.asterisk


class Process:
    """One start of a service, until it is killed. What it believes to be its calls is in its memory."""

    def __init__(self, shop: Shop, machine: Machine, journal: CelJournal = NO_JOURNAL) -> None:
        self.shop, self.machine = shop, machine
        self.clock = ShopClock(shop.clock)
        stores = shop.stores
        nodes = Nodes(stores.database, shop.clock, machine.name)
        self.stores = replace(
            stores,
            nodes=nodes,
            requests=Requests(stores.database, shop.clock, nodes.me),
            calls=Calls(stores.database, stores.ledger, stores.tariffs, stores.fraud, shop.clock, nodes.me),
        )
        self.calls: dict[str, str] = {}
        """The callbacks it works on, each with its open leg, "" before there is one."""
        self.views: dict[str, RequestView] = {}
        """As they were when it was given them."""
        self.cut_off = False
        self.replaced = False
        self.keeper = NodeKeeper(
            self.stores,
            AriClient("http://127.0.0.1:1", "nobody", "", "nothing"),
            journal,
            self.clock,
            dead_after_s=DEAD_AFTER_S,
            trunks=list,
            under_way=lambda: list(self.calls),
            on_left_behind=lambda: None,
            on_replaced=self._end,
        )

    def _end(self) -> None:
        self.replaced = True

    def starts(self, asterisk_started_at: str = "morning") -> Process:
        self.keeper.start()
        self.keeper.meets(AsteriskInfo("22", asterisk_started_at, self.machine.entity_id))
        return self

    def works_on(self, request: RequestView, leg_id: str = "") -> None:
        self.calls[request.id], self.views[request.id] = leg_id, request

    def lose_name(self) -> None:
        self.stores.nodes._lock.release()
        name = self.machine.name

        def free() -> bool:  # the server needs a moment to see that the connection is closed
            with self.stores.nodes.standing_in(name) as alone:
                return alone

        assert wait_until(free, timeout_s=10)

    def dial(self, request_id: str, leg_id: str) -> bool:
        """Store leg A; False if another node has taken the call."""
        number = self.stores.requests.get(request_id).leg_a_number
        account = self.shop.stores.accounts.named(number)
        rate = self.stores.tariffs.match(account.tariff_id, number)
        assert rate is not None
        try:
            assert self.stores.calls.open_leg(leg_id, request_id, "a", Fare(account, number, rate), 10_000)
        except NotOurs:
            return False
        return True
