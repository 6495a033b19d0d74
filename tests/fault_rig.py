"""A business where anything may be killed, frozen, or given a wrong clock, and four calls that are under way in it.

The phones are the witnesses: they live in a second Asterisk that nothing happens to, and know how long each call was
up. What the service charged is compared with that.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from world import World

from stasis_callback.clock import US_PER_S, Clock, wait_until
from stasis_callback.core.states import LIVE
from stasis_callback.store.audit import verify
from stasis_callback.store.calls.legs import XdrView
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.testing.packet_loss import PacketFilterUnavailable, packets_lost
from stasis_callback.testing.phones import Phone, PhoneCall
from stasis_callback.testing.pstn import RealNetwork
from stasis_callback.testing.stepped_clock import SteppedClock

QUICK = {"announce_balance": "off", "announce_duration": "off", "retry_interval_s": "1"}
"""Options of an access number that bring a caller to the talk within three seconds."""


def pause(seconds: float) -> None:
    """Wait, where the scenario is about the time that passes."""
    Clock().inbox().get(seconds)


@contextmanager
def network_cut(port: int) -> Iterator[None]:
    """Nothing gets to this TCP port, nor back; skips on a laptop where packets cannot be dropped."""
    with ExitStack() as stack:
        try:
            stack.enter_context(packets_lost(port))
        except PacketFilterUnavailable as why:
            unavailable(why)
        yield


def unavailable(why: Exception) -> NoReturn:
    """A requirement of a scenario is missing: fail under CI, skip elsewhere."""
    if os.environ.get("CI"):
        raise why
    pytest.skip(str(why))


class Node:
    """The service as a process: started, killed, frozen, and with a clock of its own if it is given one."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._site = site
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._logs: list[Path] = []
        self.clock: SteppedClock | None = None

    def start(self, *, connected: bool = True) -> None:
        """Start it, by default until it is connected to Asterisk."""
        config, log = self.folder / "stasis-callback.toml", self.folder / f"node-{len(self._logs)}.log"
        config.write_text(self._site.toml())
        self._logs.append(log)
        command = [sys.executable, "-m", "stasis_callback", "--config", str(config), "run"]
        environment = os.environ | (self.clock.environment() if self.clock else {})
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        if connected:
            self.logged("asterisk.connected", timeout_s=60)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the service was not started"
        return self._process

    def kill(self) -> None:
        """What a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, *, timeout_s: float = 20.0) -> int:
        """SIGTERM; the exit code. TimeoutExpired when it does not end in time."""
        self.process.terminate()
        return self.process.wait(timeout_s)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def log_text(self, run: int = -1) -> str:
        """The log of one run, by default the newest."""
        return self._logs[run].read_text()

    def events(self, name: str = "", *, run: int = -1) -> list[dict[str, Any]]:
        """What was logged under this name (all of it without one)."""
        lines = [json.loads(line) for line in self.log_text(run).splitlines() if line.startswith("{")]
        return [line for line in lines if name in ("", line.get("event"))]

    def logged(self, name: str, count: int = 1, *, timeout_s: float = 20.0) -> list[dict[str, Any]]:
        """Wait until this run has logged this event this many times."""
        line = f'"event": "{name}"'

        def there() -> bool:
            return self.log_text().count(line) >= count or self.process.poll() is not None

        wait_until(there, timeout_s=timeout_s, every_s=0.05)
        assert len(self.events(name)) >= count, f"no {name}: {self.log_text()[-4000:]}"
        return self.events(name)


class Site(World):
    """A world whose service is a process of its own."""

    def __init__(self, network: Any, folder: Path, database_url: str = "") -> None:
        super().__init__(network, folder, database_url)
        self.node = Node(self, folder)

    def toml(self) -> str:
        return self._toml()

    # --- what is left ----------------------------------------------------------------------------------------

    def clean(self) -> None:
        """Soon no channel, bridge, open leg, hold or unfinished request is left, and every sum agrees."""
        assert wait_until(lambda: not self.under_way(), timeout_s=20), self.under_way()
        with closing(self._ari()) as client:
            gone = wait_until(lambda: not (client.channels.list() or client.bridges.list()), timeout_s=3)
            assert gone, (client.channels.list(), client.bridges.list())
        assert self.stores.calls.open_legs() == []
        assert verify(self.stores.database, self.stores.tariffs) == []
        held = {xdr.account: self.stores.accounts.named(xdr.account).held_micros for xdr in self.xdr_list()}
        assert not any(held.values()), held

    def under_way(self) -> list[RequestView]:
        """The callbacks that have not ended."""
        return [request for request in self.stores.requests.newest(limit=5000) if request.state in LIVE]

    def xdr_list(self) -> list[XdrView]:
        return self.stores.calls.xdrs(limit=50_000)

    def charged_as_lived(
        self, *, until_us: int | None = None, less_s: float = 0.3, more_s: float = 0.3, only: str = ""
    ) -> None:
        """Each number was charged the time its phone was off the hook, but none after `until_us`.

        At most `more_s` seconds more, at most `less_s` less. `only` looks at one number.
        """
        xdrs = self.xdr_list()
        wrong = {}
        for number, phone in self.network.phones.items():
            if only and number != only:
                continue
            lived_s = sum(lived_us(call, until_us) for call in phone.calls) / US_PER_S
            charged_s = sum(xdr.duration_us for xdr in xdrs if xdr.number == number) / US_PER_S
            if not -less_s <= charged_s - lived_s <= more_s:
                wrong[number] = f"charged {charged_s:.3f} s of {lived_s:.3f} s"
        legs = [(x.leg_id, x.number, x.outcome, x.source, x.duration_us / US_PER_S) for x in xdrs]
        assert not wrong, (wrong, legs)

    def close(self) -> None:
        self.node.kill()
        for phone in self.network.phones.values():
            for call in phone.calls:
                if call.state != "ended":
                    call.line.hang_up()
        if isinstance(self.network, RealNetwork):
            self.network.repair()
        super().close()


def lived_us(call: PhoneCall, until_us: int | None = None) -> int:
    """How long a phone was off the hook, as its own side of the network saw it; nothing after `until_us` counts."""
    if call.answered_at_us is None:
        return 0
    ends = [at_us for at_us in (call.ended_at_us, until_us) if at_us is not None]
    assert ends, "the call is still up"
    return max(min(ends) - call.answered_at_us, 0)


RINGING_A, MENU, RINGING_B, TALK = "leg A rings", "in the menu", "leg B rings", "talking"
STAGES = (RINGING_A, MENU, RINGING_B, TALK)


class Caller:
    """One subscriber and one friend, and the stage of their call."""

    def __init__(self, site: Site, n: int, stage: str, funds: str) -> None:
        self.site = site
        self.stage = stage
        self.number, self.friend_number = f"42077700{n:04d}", f"4420794{n:05d}"
        self.request = ""
        """The id of the newest callback, once it has begun."""
        site.account(self.number, funds=funds)
        self.subscriber: Phone = site.phone(self.number)
        self.friend: Phone = site.phone(self.friend_number)
        self._calls_before = 0
        if stage != RINGING_A:
            self.subscriber.answers()
        if stage in (RINGING_B, TALK):
            self.subscriber.dials(f"{self.friend_number}#")
        if stage != RINGING_B:
            self.friend.answers()

    def arrived(self) -> bool:
        """Whether the call has reached its stage."""
        site = self.site
        requests = site.stores.requests.newest(limit=500)
        self.request = next((r.id for r in requests if r.leg_a_number == self.number), "")
        if self.stage == RINGING_A:
            return bool(self.subscriber.calls) and self.subscriber.calls[-1].state == "ringing"
        if self.stage == MENU:
            return self.hears("enter the number")
        if self.stage == RINGING_B:
            return bool(self.friend.calls) and self.friend.calls[-1].state == "ringing"
        return any(
            leg.side == "b" and leg.answered_at_us is not None
            for leg in site.stores.calls.open_legs(self.request)
        )

    def act(self) -> None:
        """Bring the call to its next stage."""
        if self.stage == RINGING_A:
            self.subscriber.answer()
        elif self.stage == MENU:
            self._calls_before = len(self.friend.calls)
            self.subscriber.dial(f"{self.friend_number}#")
        elif self.stage == RINGING_B:
            self.friend.answer()

    def to_the_talk(self, *, timeout_s: float = 20.0) -> None:
        """Bring the call to a talk, from its stage or from that after `act`."""
        if self.stage == RINGING_A:
            answered = self.subscriber.wait_for(
                "answered", call=len(self.subscriber.calls), timeout_s=timeout_s
            )
            assert answered.state != "ended", "the subscriber was hung up on"
            self._calls_before = len(self.friend.calls)
            self.subscriber.dial(f"{self.friend_number}#")
        if self.stage in (RINGING_A, MENU):
            # Asked once more where the link was down meanwhile; and a starved Asterisk mishears a digit now and then.
            for _ in range(2):
                if wait_until(lambda: len(self.friend.calls) > self._calls_before, timeout_s=timeout_s / 3):
                    break
                self.subscriber.dial(f"{self.friend_number}#")
        self.friend.wait_for("answered", timeout_s=timeout_s)

    def hears(self, words: str) -> bool:
        """Whether this run of the service has announced these words to the subscriber."""
        return any(
            words in say["words"] and say["leg"].startswith(self.request)
            for say in self.site.node.events("say")
        )

    def hang_up(self) -> None:
        """Both hang up, the friend first."""
        for phone in (self.friend, self.subscriber):
            if phone.calls and phone.calls[-1].state != "ended":
                phone.hang_up()
                phone.wait_for("ended", call=len(phone.calls), timeout_s=20)

    @property
    def up(self) -> bool:
        """Whether the subscriber's newest call has not ended."""
        return bool(self.subscriber.calls) and self.subscriber.calls[-1].state != "ended"


class Callers:
    """Simultaneous calls, one in each stage."""

    def __init__(
        self, site: Site, stages: tuple[str, ...] = STAGES, *, funds: str = "10.00", **options: str
    ) -> None:
        self._site = site
        site.usual(**QUICK | {"first_digit_timeout_s": "60"} | options)
        self.all = [Caller(site, n, stage, funds) for n, stage in enumerate(stages, 1)]

    def __getitem__(self, stage: str) -> Caller:
        return next(caller for caller in self.all if caller.stage == stage)

    def begin(self) -> None:
        """All call the access number, and reach their stages."""
        with ThreadPoolExecutor(len(self.all)) as crowd:
            refusals = list(crowd.map(lambda caller: self._site.rings(ani=caller.number), self.all))
        assert {refusal.cause for refusal in refusals} == {17}
        late = "these did not come as far as they should: "
        arrived = wait_until(lambda: all(caller.arrived() for caller in self.all), timeout_s=30)
        assert arrived, late + str([caller.stage for caller in self.all if not caller.arrived()])

    def each(self, do: Callable[[Caller], Any]) -> None:
        """For all of them at once."""
        with ThreadPoolExecutor(len(self.all)) as crowd:
            list(crowd.map(do, self.all))

    def hang_up(self) -> None:
        """All of them hang up."""
        self.each(lambda caller: caller.hang_up())


@contextmanager
def new_site(network: Any, folder: Path, database_url: str = "") -> Iterator[Site]:
    """A site on a network; at the end the network is as it was."""
    site = Site(network, folder, database_url)
    try:
        yield site
    finally:
        site.close()
