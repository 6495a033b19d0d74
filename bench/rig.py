"""What is measured: the service as a process of its own, its Asterisk, and the floor on that same Asterisk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stasis_callback.clock import Clock, wait_until
from stasis_callback.core.money import parse_amount
from stasis_callback.core.rating import Rate
from stasis_callback.ivr.prompts import Prompt, Prompts, Utterance
from stasis_callback.ivr.speech import Speech
from stasis_callback.resources import sounds_dir
from stasis_callback.settings import FraudSettings, Settings
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.store.stores import Stores, open_stores
from stasis_callback.testing.fake import FakeNetwork
from stasis_callback.testing.pstn import RealNetwork

ROOT = Path(__file__).resolve().parents[1]
# The access number says who serves the call: the service, or the plain dialplan.
ACCESS = {"service": "420800123456", "floor": "420800999999"}
FUNDS = "100.00"  # pays for more than the longest talk, so that every subscriber hears the same prompts
TALK_LIMIT_S = 7200  # the default of the option; it is announced
_FLOOR_MODULES = ("app_dial", "app_originate", "app_playback", "app_read")


@dataclass(frozen=True)
class Usage:
    """What the operating system has on a process: all its threads, user and system time."""

    cpu_s: float
    rss_mib: float
    threads: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return cls(cpu_s, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20, int(fields[17]))


@dataclass(frozen=True)
class Rig:
    """Everything up and running."""

    network: RealNetwork
    stores: Stores
    service_pid: int

    def service(self) -> Usage:
        return Usage.of(self.service_pid)

    def asterisk(self) -> Usage:
        return Usage.of(self.network.product.pid)


@contextmanager
def running(folder: Path, subscribers: list[str]) -> Iterator[Rig]:
    """Two Asterisks, a database in which each of `subscribers` has funds, and the service; stopped at the end."""
    settings = Settings()
    url = f"sqlite:///{folder}/callback.db"
    network = RealNetwork(folder)
    network.product.local["extensions.conf"] = floor_dialplan(network.trunk_name)
    network.product.local["modules.conf"] = "".join(f"load = {name}.so\n" for name in _FLOOR_MODULES)
    stores = open_stores(url, settings.node, Clock())
    try:
        open_business(stores, subscribers)
        network.start()
        with service(network, url, folder) as process:
            yield Rig(network, stores, process.pid)
    finally:
        network.stop()
        stores.database.close()


def floor_dialplan(trunk: str) -> str:
    """The same callback without account, rate, charge or care: what the service has to be measured against.

    It says what the service says (built from the same manifest), and takes the digits and dials in the same order.
    """
    prompts = Prompts(sounds_dir())
    speech = Speech(prompts)
    greeting = prompts.say(Prompt.SILENCE) + prompts.say(Prompt.BALANCE_IS)
    greeting += speech.money(parse_amount(FUNDS), "USD")
    length = prompts.say(Prompt.MAXIMUM_DURATION_IS) + speech.duration(TALK_LIMIT_S)
    subscriber = f"PJSIP/${{FILTER(0-9,${{CALLERID(num)}})}}@{trunk}"
    return f"""
[from-trunk](+)
exten => {ACCESS["floor"]},1,Originate({subscriber},exten,floor,s,1,30,ac(${{EXTEN}}))
 same => n,Hangup(17)

[floor]
exten => s,1,Playback({_files(greeting)})
 same => n,Read(NUMBER,{_files(prompts.say(Prompt.ENTER_DESTINATION))},20,,1,8)
 same => n,Playback({_files(length)})
 same => n,Dial(PJSIP/${{FILTER(0-9,${{NUMBER}})}}@{trunk},45)
 same => n,Hangup()
"""


def _files(words: Utterance) -> str:
    return "&".join(uri.removeprefix("sound:") for uri in words.media)


def open_business(stores: Stores, subscribers: list[str]) -> None:
    """Fill a new database: a tariff, an access number, and an account with funds for each subscriber."""
    stores.database.migrate()
    stores.tariffs.add("standard", "USD")
    rates = (
        Rate("420", first_price_micros=60_000, next_price_micros=60_000),
        Rate("44", first_price_micros=120_000, next_price_micros=120_000),
    )
    stores.tariffs.put_rates("standard", [NewRate(rate) for rate in rates])
    stores.accounts.add_product("callback", "standard")
    stores.accounts.add_customer("people", "USD")
    stores.access_numbers.add(ACCESS["service"], {})
    with stores.database.transaction():
        for number in subscribers:
            account = stores.accounts.add(number, customer="people", product="callback")
            stores.ledger.top_up(account.book_id, parse_amount(FUNDS), key=number)


_BUDGETS = FraudSettings(
    number_hour=1_000_000, **dict.fromkeys(("caller", "account", "number", "destination"), "1000000/0/0")
)
NEVER_USED_UP = {
    f"STASIS_CALLBACK_FRAUD__{name.upper()}": str(value)
    for name, value in _BUDGETS.model_dump(exclude_unset=True).items()
}
"""Budgets for the few phones of a bench, counted as always."""


def open_bench_stores(url: str) -> Stores:
    """The stores of a bench in its own process, with such budgets."""
    return open_stores(url, "bench", Clock(), _BUDGETS.budgets)


def _of_the_unit() -> dict[str, str]:
    """The environment that the systemd unit gives the service."""
    lines = (ROOT / "deploy" / "stasis-callback.service").read_text().splitlines()
    given = (line.removeprefix("Environment=") for line in lines if line.startswith("Environment="))
    return {name: value for name, _, value in (one.partition("=") for one in given)}


@contextmanager
def service(
    network: RealNetwork | FakeNetwork, url: str, folder: Path, **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The service as a process of its own, connected; `more` are further variables of its environment."""
    config, log_path = folder / "empty.toml", folder / "service.log"
    config.touch()
    environment = os.environ | {
        "STASIS_CALLBACK_CONFIG": str(config),
        "STASIS_CALLBACK_DATABASE__URL": url,
        "STASIS_CALLBACK_ARI__URL": network.ari_url,
        "STASIS_CALLBACK_ARI__USERNAME": network.ari_username,
        "STASIS_CALLBACK_ARI__PASSWORD": network.ari_password,
        "STASIS_CALLBACK_ASTERISK__TRUNK": network.trunk_name,
        "STASIS_CALLBACK_ASTERISK__CEL_PATH": str(network.cel_path),
        "STASIS_CALLBACK_LIMITS__LIVE_CALLS": "5000",  # the plain dialplan has no such limit either
        **NEVER_USED_UP,
        **_of_the_unit(),
        **more,
    }
    with log_path.open("wb") as log:
        command = [sys.executable, "-m", "stasis_callback", "run"]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        if not wait_until(lambda: b"asterisk.connected" in log_path.read_bytes(), timeout_s=60):
            raise RuntimeError(f"the service did not start: {log_path.read_text()}")
        yield process
    finally:
        process.terminate()
        process.wait(15)
