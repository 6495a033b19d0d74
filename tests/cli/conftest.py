from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import ACCESS_NUMBER, SUBSCRIBER, CommandLine, point_at
from databases import Databases, migrated, server

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.transcript import Transcript
from stasis_callback.core.words import Ending
from stasis_callback.store.calls.legs import Fare, LegEnd
from stasis_callback.store.stores import Stores
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork


@pytest.fixture
def cli(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> CommandLine:
    """The command line in an empty folder. The file that `init` writes names Asterisk on this machine: not here."""
    monkeypatch.chdir(tmp_path)
    journal = tmp_path_factory.mktemp("asterisk") / "no-calls.csv"
    journal.touch()
    monkeypatch.setenv("STASIS_CALLBACK_ARI__URL", "http://127.0.0.1:9")
    monkeypatch.setenv("STASIS_CALLBACK_ASTERISK__CEL_PATH", str(journal))
    monkeypatch.setenv("STASIS_CALLBACK_ASTERISK__CONSOLE_PATH", "/nonexistent/asterisk.ctl")
    return CommandLine(tmp_path, capsys)


SHOP = "cli_shop"


@pytest.fixture(scope="session")
def _shops() -> dict[str, Path]:
    return {}


@pytest.fixture
def shop(
    cli: CommandLine,
    _shops: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[CommandLine]:
    """A small business: one customer, tariff, product, account with 10.00, and access number."""
    if not _shops:
        if Databases.kind == "postgres":
            monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", server().create(SHOP, template=migrated()))
        open_shop(cli)
        _shops["made"] = Path(shutil.copytree(cli.folder, tmp_path_factory.mktemp("shop") / "files"))
    shutil.copytree(_shops["made"], cli.folder, dirs_exist_ok=True)
    if Databases.kind == "postgres":
        cli.url = Databases.clone(SHOP)
    monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", cli.url)
    yield cli
    Databases.remove(cli.url)


def open_shop(cli: CommandLine) -> None:
    cli.ok("init")
    cli.ok("customer", "add", "Acme", "--currency", "USD")
    cli.ok("tariff", "add", "retail", "--currency", "USD")
    cli.ok("tariff", "add", "euros", "--currency", "EUR")
    cli.ok("rate", "add", "retail", "420", "0.12", "--description", "Czechia")
    cli.ok("product", "add", "callback", "--tariff", "retail")
    cli.ok("product", "add", "eurocall", "--tariff", "euros")
    cli.ok(
        "account", "add", SUBSCRIBER, "--customer", "Acme", "--product", "callback", "--alias", "420777111222"
    )
    cli.ok("account", "topup", SUBSCRIBER, "10", "--key", "first")
    cli.ok("access-number", "add", ACCESS_NUMBER)


@pytest.fixture
def queued(shop: CommandLine) -> str:
    """A queued callback; the id of its request."""
    with shop.stores() as stores:
        account = stores.accounts.named(SUBSCRIBER)
        refusal = stores.requests.accept(
            CallbackRequest("call-1", "ani", "+" + SUBSCRIBER, ACCESS_NUMBER),
            account_id=account.id,
            subscriber_id=account.id,
            leg_a_number=SUBSCRIBER,
            stored_options={"welcome": "on", "dedupe_window_s": "0"},
            queue_limit=10,
        )
        assert refusal == ""
        return stores.requests.newest()[0].id


@pytest.fixture
def dialing(shop: CommandLine, queued: str) -> str:
    """A callback whose leg A was answered 90 seconds ago and is paid for 100; the id of its request."""
    with shop.stores() as stores:
        stores.nodes.enter()
        stores.requests.claim(10)
        _open_leg(stores, queued, "a")
        stores.calls.leg_answered(f"{queued}-a1", Clock().now_us() - 90 * US_PER_S, 90.0)
    return queued


@pytest.fixture
def called(shop: CommandLine, queued: str) -> str:
    """One callback is over: 61 s of leg A, nobody at leg B; the id of its request."""
    with shop.stores() as stores:
        stores.nodes.enter()
        stores.requests.claim(10)
        start_us = 1_700_000_000 * US_PER_S
        for side, answered_at_us, outcome in (
            ("a", start_us, Outcome.ANSWERED),
            ("b", None, Outcome.NO_ANSWER),
        ):
            leg_id = _open_leg(stores, queued, side)
            end_us = start_us + 61 * US_PER_S
            stores.calls.settle(leg_id, LegEnd(answered_at_us, end_us, outcome, 16, "events"))
        stores.requests.answered(stores.requests.get(queued))
        kept = Transcript()
        kept.said(start_us, f"{queued}-a1", "Your balance is ten dollars")
        stores.requests.finish(queued, Ending.NO_ANSWER, transcript=kept.stored)
    return queued


def _open_leg(stores: Stores, request_id: str, side: str) -> str:
    account = stores.accounts.named(SUBSCRIBER)
    rate = stores.tariffs.match(account.tariff_id, SUBSCRIBER)
    assert rate
    leg_id = f"{request_id}-{side}1"
    assert stores.calls.open_leg(leg_id, request_id, side, Fare(account, SUBSCRIBER, rate), 200_000)  # type: ignore[arg-type]
    return leg_id


@pytest.fixture
def asterisk(fake_network: FakeNetwork, monkeypatch: pytest.MonkeyPatch) -> FakeNetwork:
    """An Asterisk without calls, named in the settings."""
    for name in ("url", "username", "password", "app"):
        monkeypatch.setenv(f"STASIS_CALLBACK_ARI__{name.upper()}", getattr(fake_network, f"ari_{name}"))
    return fake_network


@pytest.fixture
def fake(shop: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAsterisk]:
    """A separate simulated Asterisk with a journal, named in the settings."""
    with FakeAsterisk(cel_dir=tmp_path) as fake:
        point_at(monkeypatch, fake.url, fake.username, fake.password, tmp_path / "cel.csv")
        yield fake
