"""`stasis-callback demo`: one callback from missed call to call records, shown as it happens.

It runs and shows the commands of an operator, on two Asterisks that it starts itself: one with the project's
configuration, one as the telephone network. Nothing is scripted output: every line comes from the service's log or
from the phones, and if an expected step does not happen the demo fails and names it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import typer

from stasis_callback import logs
from stasis_callback.clock import US_PER_S, Clock, wait_until
from stasis_callback.core.errors import CallbackError
from stasis_callback.core.money import MICROS
from stasis_callback.testing.phones import Network, Phone

ACCESS, SUBSCRIBER, FRIEND = "420800123456", "420212345678", "442071234567"
STEP_LIMIT_S = 30.0
TALK_S = 3.0

_COMMANDS = f"""
tariff add standard --currency USD
rate add standard 420 0.06 --first-interval 1 --next-interval 1
rate add standard 44 0.12 --first-interval 6 --next-interval 6
product add callback --tariff standard
customer add people --currency USD
account add {SUBSCRIBER} --customer people --product callback
account topup {SUBSCRIBER} 10.00
access-number add {ACCESS}
""".strip().splitlines()


class StepMissing(CallbackError):
    """An expected step of the call did not happen."""


class NoAsterisk(CallbackError):
    """No real Asterisk can run here; the message says why."""


class ReachableNetwork(Protocol):
    """The connection details of the Asterisk behind a network."""

    ari_url: str
    ari_username: str
    ari_password: str
    ari_app: str
    trunk_name: str
    cel_path: Path


def run_demo(simulated: bool) -> int:
    """Run the demo. Returns 0 if every step happened, otherwise 1, after one sentence that names the missing step.

    Where no real Asterisk can run, the simulated one takes its place, and the demo says so.
    """
    logs.silence()
    folder = Path(tempfile.mkdtemp(prefix="stasis-callback-demo-"))
    try:
        with _network(simulated, folder / "asterisk") as network:
            _Demo(network, folder).run()
    except NoAsterisk as error:
        shutil.rmtree(folder, ignore_errors=True)
        if os.environ.get("CI"):  # there it must not pass unnoticed
            typer.echo(f"{error}", err=True)
            return 1
        typer.echo(f"{error}\nThe same call on the simulated Asterisk instead.\n")
        return run_demo(simulated=True)
    except CallbackError as error:
        typer.echo(f"\nThe demo did not succeed: {error}\nThe logs are in {folder}", err=True)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    if simulated:
        typer.echo("\nThis ran on the simulated Asterisk: no real call was made.")
    return 0


@contextmanager
def _network(simulated: bool, folder: Path) -> Iterator[Any]:
    if simulated:
        from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork

        typer.echo("Simulated Asterisk: real ARI requests, but no real calls.\n")
        folder.mkdir(parents=True)
        with FakeAsterisk(cel_dir=folder) as fake:
            yield FakeNetwork(fake)
        return
    from stasis_callback.testing.asterisk import AsteriskUnavailable
    from stasis_callback.testing.pstn import start_network

    try:
        with start_network(folder) as network:
            version = network.product.cli("core show version").split(" built")[0].strip()
            typer.echo(f"{version}: one with asterisk-conf/, one as the telephone network.\n")
            yield network
    except AsteriskUnavailable as why:
        reason = str(why).partition("; its logs")[0].rstrip(".")
        raise NoAsterisk(f"A real Asterisk cannot run here: {reason}.") from why


class _Demo:
    def __init__(self, network: Any, folder: Path) -> None:
        self._network: Network = network
        self._folder = folder
        self._clock = Clock()
        self._began_us = 0
        self._log: list[dict[str, Any]] = []
        self._echo = threading.Lock()
        reachable: ReachableNetwork = network
        self._environment = os.environ | {
            "STASIS_CALLBACK_CONFIG": str(folder / "stasis-callback.toml"),
            "STASIS_CALLBACK_LOG_FORMAT": "json",
            "STASIS_CALLBACK_ARI__URL": reachable.ari_url,
            "STASIS_CALLBACK_ARI__USERNAME": reachable.ari_username,
            "STASIS_CALLBACK_ARI__PASSWORD": reachable.ari_password,
            "STASIS_CALLBACK_ARI__APP": reachable.ari_app,
            "STASIS_CALLBACK_ASTERISK__TRUNK": reachable.trunk_name,
            "STASIS_CALLBACK_ASTERISK__CEL_PATH": str(reachable.cel_path),
        }

    def run(self) -> None:
        self._command(f"init --yes --dir {shlex.quote(str(self._folder))}", shown="init", quiet=True)
        for command in _COMMANDS:
            self._command(command, quiet=True)
        with self._service():
            typer.echo("\n   seconds  who          what")
            self._callback()
        typer.echo("")
        self._command("xdr list")
        self._command(f"account show {SUBSCRIBER}")
        self._command("ledger verify")
        self._check_sums()

    def _check_sums(self) -> None:
        """There must be one answered call record per leg, and the balance must match their charges."""
        xdrs = json.loads(self._command("xdr list --json", shown=""))
        account = json.loads(self._command(f"account show {SUBSCRIBER} --json", shown=""))
        charged = sum(xdr["amount_micros"] for xdr in xdrs)
        if [xdr["outcome"] for xdr in xdrs] != ["answered", "answered"]:
            raise StepMissing("there should be two call records of answered legs")
        if account["balance_micros"] != 10 * MICROS - charged or account["held_micros"]:
            raise StepMissing("the balance does not match the call records")

    # --- the call, as the two parties see it -------------------------------------------------------------------

    def _callback(self) -> None:
        subscriber, friend = self._network.phone(SUBSCRIBER), self._network.phone(FRIEND)
        self._began_us = self._clock.now_us()
        self._tell("subscriber", f"calls {ACCESS}")
        refusal = self._network.missed_call(ani=SUBSCRIBER, dnis=ACCESS)
        if refusal.answered or refusal.cause != 17:
            raise StepMissing(f"the access number did not refuse the call as busy (cause {refusal.cause})")
        self._tell(
            "subscriber",
            f"hears busy: refused unanswered after {refusal.took_s * 1000:.0f} ms, free of charge",
        )
        ringing = self._reached(subscriber, "ringing")
        rang_after_ms = ((ringing.ringing_at_us or 0) - self._began_us) / 1000
        self._tell(
            "subscriber", f"is called back: the phone rings {rang_after_ms:.0f} ms after the missed call"
        )
        self._person(subscriber, "subscriber", "answers", subscriber.answer, "answered")
        self._said("balance")
        self._said("enter the number")
        self._tell("subscriber", f"dials {FRIEND}#")
        subscriber.dial(f"{FRIEND}#")
        self._said("You can talk for")
        self._reached(friend, "ringing")
        self._tell("friend", "the phone rings")
        self._person(friend, "friend", "answers: the two are connected", friend.answer, "answered")
        self._logged("leg.answered", 2)
        wait_until(lambda: False, timeout_s=TALK_S)
        self._person(friend, "friend", f"hangs up after {TALK_S:.0f} s of talk", friend.hang_up, "ended")
        self._said("enter another number")
        self._person(subscriber, "subscriber", "hangs up", subscriber.hang_up, "ended")
        self._logged("call.ended", 1)

    def _person(self, phone: Phone, who: str, what: str, act: Callable[[], None], state: Any) -> None:
        self._tell(who, what)
        act()
        self._reached(phone, state)

    def _reached(self, phone: Phone, state: Any) -> Any:
        try:
            return phone.wait_for(state, timeout_s=STEP_LIMIT_S)
        except AssertionError as error:
            raise StepMissing(str(error)) from None

    def _said(self, words: str) -> None:
        found = wait_until(
            lambda: any(words in line.get("words", "") for line in list(self._log)), timeout_s=STEP_LIMIT_S
        )
        if not found:
            raise StepMissing(f"the subscriber never heard {words!r}")

    def _logged(self, event: str, count: int) -> None:
        found = wait_until(
            lambda: sum(line["event"] == event for line in list(self._log)) >= count, timeout_s=STEP_LIMIT_S
        )
        if not found:
            raise StepMissing(f"the service never reported {event!r}")

    # --- the operator's side -----------------------------------------------------------------------------------

    def _command(self, arguments: str, *, shown: str | None = None, quiet: bool = False) -> str:
        """Run a command and show it (or `shown` instead; "" hides it)."""
        words = arguments if shown is None else shown
        if words:
            typer.echo(f"$ stasis-callback {words}")
        result = subprocess.run(
            [sys.executable, "-m", "stasis_callback", *shlex.split(arguments)],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise StepMissing(f"`stasis-callback {arguments}` failed: {result.stderr.strip()}")
        if words and not quiet:
            typer.echo(result.stdout)
        return result.stdout

    @contextmanager
    def _service(self) -> Iterator[None]:
        typer.echo("$ stasis-callback run &")
        service = subprocess.Popen(
            [sys.executable, "-m", "stasis_callback", "run"],
            env=self._environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        reader = threading.Thread(target=self._follow, args=(service,), daemon=True)
        reader.start()
        try:
            self._logged("asterisk.connected", 1)
            yield
        finally:
            service.terminate()
            service.wait(timeout=10)
            reader.join(5)

    def _follow(self, service: subprocess.Popen[str]) -> None:
        """Read and keep the service's log, and show the lines that `_sentence` has words for."""
        assert service.stderr is not None
        with (self._folder / "service.log").open("w") as log:
            for line in service.stderr:
                log.write(line)
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                self._log.append(event)
                what = _sentence(event)
                if what:
                    self._tell("service", what, at=event["timestamp"])

    def _tell(self, who: str, what: str, *, at: str = "") -> None:
        at_us = int(datetime.fromisoformat(at).timestamp() * US_PER_S) if at else self._clock.now_us()
        with self._echo:
            typer.echo(f"  {(at_us - self._began_us) / US_PER_S:8.3f}  {who:<12} {what}")


def _sentence(event: dict[str, Any]) -> str:
    """A log line in words; "" for lines that the demo does not show."""
    leg = f"leg {event['leg'].rsplit('-', 1)[1][0].upper()}" if "leg" in event else ""
    match event["event"]:
        case "request.accepted":
            return "recognizes the caller and stores the callback"
        case "leg.dialing":
            return f"calls {leg}"
        case "say" if event["words"]:
            return f"says “{event['words']}”"
        case "leg.settled":
            return f"charges {leg}: {event['duration_s']} s, {event['amount']}"
        case "request.refused":
            return f"refuses the request: {event['reason']}"
        case _:
            return ""
