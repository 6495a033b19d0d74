"""The service in a simulation: started, stopped, killed and started again, as an init system does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import SecretStr

from stasis_callback.ari.client import AriClient
from stasis_callback.engine.admission.orders import Answer, Order, Orders
from stasis_callback.engine.ending import take_back
from stasis_callback.service import Service
from stasis_callback.settings import AriSettings, AsteriskSettings, DatabaseSettings, Settings
from stasis_callback.store.stores import Stores, open_stores

from .asterisk import APP, TRUNK
from .clock import SimClock
from .database import Instrumented
from .plan import Deed
from .scheduler import Process
from .wire import URL, SimRest, Wire

if TYPE_CHECKING:
    from .world import SimWorld

RESTART_S = 1.0
"""What the init system waits before it starts a service again that ended by itself."""
PRICES_S = 5.0
"""How often price lists are looked at. In no plan do they change; a look each half second was a sixth of the work."""


class Node:
    """The one node of a simulation."""

    def __init__(self, world: SimWorld, url: str) -> None:
        self._world = world
        self._settings = Settings(
            node="sim",
            database=DatabaseSettings(url=url),
            ari=AriSettings(url=URL, username="callback", password=SecretStr("secret"), app=APP),
            asterisk=AsteriskSettings(trunk=TRUNK, cel_path=world.asterisk.switch.cel.path),
        )
        self.offset_us = 0
        """How wrong the machine's clock is."""
        self.died_us: list[int] = []
        """When it was killed or crashed."""
        self.went_on_us = 0
        """When it last went on after it had been stopped."""
        self.process: Process | None = None
        self.clock: SimClock | None = None
        self.service: Service | None = None
        self.stores: Stores | None = None
        self._wire: Wire | None = None
        self._starts = 0
        self.wanted = True

    @property
    def running(self) -> bool:
        """Whether it takes calls: started, and neither stopped nor killed."""
        return self.service is not None and self.process is not None and not self.process.stopped

    def start(self) -> None:
        """Start it unless it is running."""
        if self.process is not None or not self.wanted:
            return
        self._starts += 1
        process = Process(f"service-{self._starts}")
        self.process, self.clock = process, SimClock(self._world.scheduler, process)
        self.clock.offset_us = self.offset_us
        self._world.note("service", f"{process.name} starts")
        self._world.scheduler.start(lambda: self._main(process), "main", process)

    def _main(self, process: Process) -> None:
        clock = self.clock
        assert clock is not None
        try:
            stores = self.stores = open_stores(
                self._settings.database.url, self._settings.node, clock, self._settings.fraud.budgets
            )
            stores.tariffs.check_every_s = PRICES_S
            Instrumented(stores.database, clock, self._world.store_faults)
            client = AriClient(
                URL,
                "callback",
                "secret",
                APP,
                clock=clock,
                rest=SimRest(self._world.asterisk, clock, stores.database),
            )
            wire = self._wire = Wire(self._world.asterisk, self._world.shape)
            service = Service(
                self._settings, stores, clock, client=client, connect=lambda: wire.connect(clock)
            )
            self.service = service
            service.enter()
            code = service.run()
            words = f"exit code {code}"
        except Exception as error:  # noqa: BLE001 - the process ends with a traceback
            words = f"{type(error).__name__}: {error}"
        self._world.note("service", f"{process.name} ended: {words}")
        self._gone()
        self._world.scheduler.call_in(RESTART_S, self.start)
        process.check()

    def kill(self, down_s: float) -> None:
        """Kill it (`kill -9`), and start it again after this time."""
        if self.process is None:
            return
        self._world.note("service", f"{self.process.name} killed")
        self.died_us.append(self._world.scheduler.now_us)
        self._gone()
        self._world.scheduler.call_in(max(down_s, 0.1), self.start)

    def _gone(self) -> None:
        """After a kill: end its threads before anything else happens, then close its files."""
        process, stores, wire = self.process, self.stores, self._wire
        assert process is not None
        self.process = self.clock = self.service = self.stores = self._wire = None
        self._world.scheduler.kill(process)
        if wire is not None:
            wire.process_is_gone()
        if stores is not None:
            stores.nodes._lock.release()  # as the kernel does it
            self._world.scheduler.call_in(0.0, stores.database.close)

    def stop(self, seconds: float) -> None:
        """Stop it (SIGSTOP), and resume it later."""
        process = self.process
        if process is None or process.stopped:
            return
        process.stopped = True

        def go_on() -> None:
            process.stopped = False
            self.went_on_us = self._world.scheduler.now_us

        self._world.scheduler.call_in(seconds, go_on)

    def step_clock(self, seconds: float) -> None:
        """Move the wall clock of the service's machine."""
        self.offset_us += round(seconds * 1_000_000)
        if self.clock is not None:
            self.clock.offset_us = self.offset_us

    def have_done(self, deed: Deed) -> None:
        """Run an operator's command, or a web request. A failed one has had its whole effect or none."""
        service, clock, stores = self.service, self.clock, self.stores
        if service is None or clock is None or stores is None:
            return
        subscriber = self._world.plan.subscribers[deed.subscriber]
        number = subscriber.pin or subscriber.number

        def top_up() -> None:
            key = f"deed-{deed.at_s}-{deed.subscriber}"
            stores.ledger.top_up(stores.accounts.named(number).book_id, deed.amount_micros, key=key)

        def take_all_back() -> None:
            for request in stores.requests.newest():
                if request.triggered_by == "web" and request.ani == number:
                    take_back(stores, service.client, request.id)

        deeds: dict[str, Callable[[], object]] = {
            "top up": top_up,
            "block": lambda: stores.accounts.change(number, status="blocked"),
            "unblock": lambda: stores.accounts.change(number, status="active"),
            "take back": take_all_back,
        }

        def do() -> None:
            try:
                deeds[deed.kind]()
                self._world.note("operator", f"{deed.kind} {number}")
            except Exception as error:  # noqa: BLE001 - a command that fails says so
                self._world.note("operator", f"{deed.kind} {number} failed: {error}")

        clock.start_thread(do, "command")

    def order(self, order: Order, answered: Callable[[Answer | None], None]) -> None:
        """Order a callback over the web; None if the service is down or does not respond."""
        service, clock, stores = self.service, self.clock, self.stores
        if service is None or clock is None or stores is None:
            answered(None)
            return

        def ask() -> None:
            try:
                answer = Orders(stores, clock, 1000, lambda order, answer: service.dialer.wake()).admit(order)
            except Exception:  # noqa: BLE001 - the web server answers 5xx
                answered(None)
            else:
                answered(answer)

        clock.start_thread(ask, "web")
