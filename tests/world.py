"""A running business for a scenario: a database with tariff and accounts, the service, and a telephone network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import structlog
from databases import Databases
from fuse_watch import FuseWatch
from pydantic import SecretStr

from stasis_callback.ari.client import AriClient
from stasis_callback.clock import Clock, wait_until
from stasis_callback.core.money import parse_amount
from stasis_callback.core.rating import Rate
from stasis_callback.engine.admission.orders import Answer, Order, Orders, log_answer
from stasis_callback.service import Service
from stasis_callback.settings import AriSettings, AsteriskSettings, DatabaseSettings, FraudSettings, Settings
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.audit import verify
from stasis_callback.store.calls.legs import XdrView
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.store.stores import Stores, open_stores
from stasis_callback.testing.fake import FakeNetwork
from stasis_callback.testing.phones import SECOND_TRUNK, Network, Phone, Rejection
from stasis_callback.workers import Worker

ACCESS = "420800123456"
ANI = "420212345678"
FRIEND = "442071234567"
CHEAP, DEAR = "7", "8"
"""What each of two trunks puts before a number: so the phones tell which one a call came over."""


class World:
    """What a scenario talks to. `said` is what the service orders to be played, in words, in order, by its log."""

    def __init__(self, network: Any, folder: Path, database_url: str = "") -> None:
        """`database_url`: an empty, migrated database; without it the world makes one."""
        self.network: Network = network
        network.phones.clear()
        self.settings = Settings(
            node="test",
            database=DatabaseSettings(url=database_url or Databases.new(folder)),
            ari=AriSettings(
                url=network.ari_url,
                username=network.ari_username,
                password=SecretStr(network.ari_password),
                app=network.ari_app,
            ),
            asterisk=AsteriskSettings(trunk=network.trunk_name, cel_path=network.cel_path),
            fraud=FraudSettings(number="0", number_hour=0),  # the same few phones are called again and again
        )
        self.stores: Stores = open_stores(
            self.settings.database.url,
            "test",
            Clock(),
            self.settings.fraud.budgets,
            self.settings.fraud.alarms,
        )
        self.fuses = FuseWatch(self.stores)
        if isinstance(network, FakeNetwork):
            network.fake.watchers[:] = [self.fuses]
        self.log: list[Any] = []
        self.service: Service | None = None
        self.more_settings = ""
        """Further lines for the settings file of a service that is a process of its own."""
        self._topups = 0
        self._orders = 0

    # --- the business ----------------------------------------------------------------------------------------

    def sells(self, *rates: Rate) -> None:
        """One tariff with these rates, one product, one customer."""
        self.stores.tariffs.add("standard", "USD")
        self.stores.tariffs.put_rates("standard", [NewRate(rate) for rate in rates])
        self.stores.accounts.add_product("callback", "standard")
        self.stores.accounts.add_customer("people", "USD")

    def access_number(self, number: str = ACCESS, **options: str) -> None:
        self.stores.access_numbers.add(number, options)

    def account(self, number: str = ANI, *, funds: str = "10.00", **values: Any) -> AccountView:
        account = self.stores.accounts.add(number, customer="people", product="callback", **values)
        if funds != "0":
            self._topups += 1
            self.stores.ledger.top_up(account.book_id, parse_amount(funds), key=f"test-{self._topups}")
        return self.stores.accounts.get(account.id)

    def two_trunks(
        self, *, cheap: dict[str, Any] | None = None, prefixes: tuple[str, str] = (CHEAP, DEAR)
    ) -> None:
        """A trunk that costs us 1 cent a minute and one that costs 3; `cheap` are settings of the first."""
        self.stores.trunks.add_vendor("carrier", "USD")
        for name, price_micros, prefix in (
            (self.settings.asterisk.trunk, 10_000, prefixes[0]),
            (SECOND_TRUNK, 30_000, prefixes[1]),
        ):
            tariff = f"cost of {name}"
            self.stores.tariffs.add(tariff, "USD")
            rates = [
                NewRate(Rate(to, first_price_micros=price_micros, next_price_micros=price_micros))
                for to in ("420", "44")
            ]
            self.stores.tariffs.put_rates(tariff, rates)
            self.stores.trunks.add(name, vendor="carrier", tariff=tariff, number_rules=f"s/^/{prefix}/")
        self.stores.trunks.change(self.settings.asterisk.trunk, **cheap or {})

    def usual(self, funds: str = "10.00", **options: str) -> None:
        """A business as most scenarios need it: 6 and 12 cents a minute, by the second."""
        self.sells(
            Rate("420", first_price_micros=60_000, next_price_micros=60_000),
            Rate("44", first_price_micros=120_000, next_price_micros=120_000),
        )
        self.access_number(**options)
        self.account(funds=funds)

    # --- the service -----------------------------------------------------------------------------------------

    @contextmanager
    def running(self, *, housekeeping_s: float = 0.0) -> Iterator[Service]:
        """The service, in this process; with housekeeping at this interval in seconds, if any."""
        service = self.service = Service(self.settings, self.stores, Clock())
        house = Worker("housekeeping", lambda worker: _keep_house(worker, service, housekeeping_s), Clock())
        with structlog.testing.capture_logs([structlog.processors.TimeStamper("%T.%f")]) as self.log:
            service.enter()
            service.start()
            if housekeeping_s:
                house.start()
            try:
                assert service.link.wait_connected(10)
                assert wait_until(lambda: bool(self.events("asterisk.connected")), timeout_s=5)
                yield service
            finally:
                house.stop()
                service.close()

    def events(self, name: str) -> list[Any]:
        return [line for line in list(self.log) if line["event"] == name]

    @property
    def said(self) -> list[str]:
        return [line["words"] for line in self.events("say")]

    def was_cut(self, leg: str, *, after_s: int) -> None:
        """The leg ended when its time was over; a busy machine is a second late (`nothing_left` sees who pays)."""
        assert after_s <= self.xdrs()[leg].charged_s <= after_s + 2

    def announced(self, words: str, *, timeout_s: float = 30.0) -> None:
        """Wait until the service has ordered something with these words, by its own log.

        What of it arrives at a telephone is shown by tests/real/test_heard.py, in what the phones recorded.
        """
        found = wait_until(lambda: any(words in text for text in self.said), timeout_s=timeout_s)
        assert found, f"{words!r} was not announced: {self.said}"

    def reconnected(self) -> None:
        """Wait until the link to Asterisk, which broke once, is up again."""
        self.until(lambda: len(self.events("asterisk.connected")) == 2)

    @contextmanager
    def process(self, folder: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """The service as a process of its own, connected; what is left of it at the end is killed."""
        log_path = folder / f"service-{len(list(folder.glob('service-*')))}.log"
        config = folder / "stasis-callback.toml"
        config.write_text(self._toml())
        command = [sys.executable, "-m", "stasis_callback", "--config", str(config), "run", *options]
        with log_path.open("wb") as log:
            process = subprocess.Popen(command, stderr=log, stdout=log, env=os.environ | environment)
        try:
            self.until(
                lambda: "asterisk.connected" in log_path.read_text() or process.poll() is not None,
                timeout_s=60,  # a busy machine takes its time to load an interpreter
            )
            assert process.poll() is None, log_path.read_text()
            yield process
        finally:
            process.kill()
            process.wait()

    def _toml(self) -> str:
        s = self.settings
        return f"""
node = "{s.node}"
log_format = "json"
[database]
url = "{s.database.url}"
[ari]
url = "{s.ari.url}"
username = "{s.ari.username}"
password = "{s.ari.password.get_secret_value()}"
app = "{s.ari.app}"
[asterisk]
trunk = "{s.asterisk.trunk}"
cel_path = "{s.asterisk.cel_path}"
console_path = "/nonexistent/asterisk.ctl"
[email]
enabled = {str(s.email.enabled).lower()}
port = {s.email.port}
{self.more_settings}
"""

    # --- what happens ----------------------------------------------------------------------------------------

    def phone(self, number: str = ANI) -> Phone:
        return self.network.phone(number)

    def rings(self, *, ani: str = ANI, dnis: str = ACCESS) -> Rejection:
        """A missed call."""
        return self.network.missed_call(ani=ani, dnis=dnis)

    def asks(self, number_a: str = ANI, number_b: str = FRIEND, **values: Any) -> Answer:
        """A request with its numbers, as a trigger admits it."""
        self._orders += 1
        order = Order(
            **{
                "key": f"test:{self._orders}",
                "trigger": "web",
                "account": ANI,
                "number_a": number_a,
                "number_b": number_b,
                "instance": "shop",
                **values,
            }
        )

        def decided(order: Order, answer: Answer) -> None:
            log_answer(order, answer)
            if self.service:
                self.service.dialer.wake()

        return Orders(self.stores, Clock(), 1000, decided).admit(order)

    def finished(self, count: int = 1, *, timeout_s: float = 60.0) -> list[RequestView]:
        """Wait until `count` callbacks have ended; returns all of them."""

        def done() -> list[RequestView]:
            return [
                r
                for r in self.stores.requests.newest(limit=500)
                if r.state in ("done", "refused", "cancelled")
            ]

        assert wait_until(lambda: len(done()) >= count, timeout_s=timeout_s), self.stores.requests.newest()
        return done()

    def until(self, condition: Callable[[], bool], *, timeout_s: float = 15.0) -> None:
        assert wait_until(condition, timeout_s=timeout_s), "it did not come to that"

    # --- what is left ----------------------------------------------------------------------------------------

    def xdrs(self) -> dict[str, XdrView]:
        """The call records, by `a1`, `b1`, ..."""
        return {xdr.leg_id.rsplit("-", 1)[1]: xdr for xdr in self.stores.calls.xdrs()}

    def balance_micros(self, number: str = ANI) -> int:
        account = self.stores.accounts.named(number)
        return account.balance_micros

    def nothing_left(self, funds: str = "10.00", number: str = ANI) -> None:
        """No channel, bridge, thread, hold or unpaid second is left; the ledger agrees with the call records."""
        with closing(self._ari()) as client:
            clean = wait_until(
                lambda: not (client.channels.list() or client.bridges.list() or self.call_threads()),
                timeout_s=1.0,
            )
            assert clean, (client.channels.list(), client.bridges.list(), self.call_threads())
        assert verify(self.stores.database, self.stores.tariffs) == []
        assert not self.fuses.violations, self.fuses.violations
        account = self.stores.accounts.named(number)
        assert account.held_micros == 0
        charged = sum(
            xdr.amount_micros - xdr.overrun_micros for xdr in self.stores.calls.xdrs(account=number)
        )
        assert account.balance_micros == parse_amount(funds) - charged

    @staticmethod
    def service_clock_us() -> int:
        """Now, by the clock the service stamps its rows with."""
        return Clock().now_us()

    @staticmethod
    def call_threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("call-")]

    def close(self) -> None:
        """Close the database and, after a test that failed, end what it left in Asterisk."""
        if isinstance(self.network, FakeNetwork):
            self.network.fake.watchers.clear()
        self.stores.database.close()
        Databases.remove(self.settings.database.url)
        with closing(self._ari()) as client:
            for channel in client.channels.list():
                client.channel(channel.id).hang_up()
            for bridge in client.bridges.list():
                client.bridge(bridge.id).destroy()

    def _ari(self) -> AriClient:
        ari = self.settings.ari
        return AriClient(ari.url, ari.username, ari.password.get_secret_value(), ari.app)


def _keep_house(worker: Worker, service: Service, every_s: float) -> None:
    while worker.goes_on:
        worker.pause(every_s)
        service.keep_house()


@contextmanager
def new_world(network: Any, folder: Path) -> Iterator[World]:
    world = World(network, folder)
    try:
        yield world
    finally:
        world.close()
        shutil.rmtree(folder, ignore_errors=True)
