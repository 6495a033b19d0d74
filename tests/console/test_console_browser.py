"""A real Chromium: from an empty database to a billed callback with the console alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import browsing
import pyotp
import pytest
from console_site import PASSWORD, ROLES
from databases import Databases
from playwright.sync_api import Browser, Page, expect
from web_site import free_port

from stasis_callback.clock import US_PER_S, Clock, wait_until
from stasis_callback.store.stores import open_stores

ACCESS, SUBSCRIBER, FRIEND = "420800123456", "420212345678", "442071234567"
ARTEFACTS = Path(__file__).resolve().parents[2] / "artefacts" / "console"
STEP_S = 30_000


class Desk:
    """The operators of a node that runs, each with the key of an authenticator."""

    def __init__(self, base: str, keys: dict[str, str]) -> None:
        self.base, self.keys = base, keys

    def sign_in(self, page: Page, role: str) -> None:
        page.goto(self.base)
        page.get_by_label("Name").fill(role)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_label("Code").fill(pyotp.TOTP(self.keys[role]).at(Clock().now_us() // US_PER_S))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Now", level=1)).to_be_visible(timeout=STEP_S)

    def does(self, page: Page, command: str, **fields: str) -> None:
        """Fill in the form of a command as its page has it, and send it."""
        page.goto(f"{self.base}/do/{command.replace(' ', '/')}")
        for name, text in fields.items():
            page.locator(f'[name="{name.replace("__", ".")}"]').fill(text)
        page.locator("form.command > button").click()
        expect(page.locator(".done")).to_be_visible(timeout=STEP_S)


@contextmanager
def running(network: Any, folder: Path) -> Iterator[Desk]:
    """A node on an empty database, and the console that it starts; nothing is there but four operators."""
    url, port = Databases.new(folder, "console"), free_port()
    stores = open_stores(url, "test", Clock())
    try:
        keys = {role: stores.operators.add(role, role, PASSWORD) for role in ROLES}
    finally:
        stores.database.close()
    environment = os.environ | {
        "STASIS_CALLBACK_DATABASE__URL": url,
        "STASIS_CALLBACK_CONSOLE__PORT": str(port),
        "STASIS_CALLBACK_ARI__URL": network.ari_url,
        "STASIS_CALLBACK_ARI__USERNAME": network.ari_username,
        "STASIS_CALLBACK_ARI__PASSWORD": network.ari_password,
        "STASIS_CALLBACK_ARI__APP": network.ari_app,
        "STASIS_CALLBACK_ASTERISK__TRUNK": network.trunk_name,
        "STASIS_CALLBACK_ASTERISK__CEL_PATH": str(network.cel_path),
    }
    log = (folder / "service.log").open("w")
    service = subprocess.Popen(
        [sys.executable, "-m", "stasis_callback", "run"], env=environment, cwd=folder, stderr=log
    )
    try:
        said = folder / "service.log"
        assert wait_until(lambda: "console.started" in said.read_text(), timeout_s=60), said.read_text()
        assert wait_until(lambda: "asterisk.connected" in said.read_text(), timeout_s=30), said.read_text()
        yield Desk(f"http://127.0.0.1:{port}", keys)
    finally:
        service.kill()  # and the console ends with it
        service.wait(10)
        log.close()
        assert wait_until(lambda: "console.stopped" in said.read_text(), timeout_s=30), "the console ends too"
        Databases.remove(url)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["fake", pytest.param("real", marks=pytest.mark.real)])
def test_from_nothing_to_a_billed_callback(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, browser: Browser
) -> None:
    network = request.getfixturevalue(f"{kind}_network")
    network.phones.clear()  # those of other tests do other things
    with running(network, tmp_path) as desk:

        @contextmanager
        def signed_in(role: str) -> Iterator[Page]:
            with browsing.looking(browser, viewport=browsing.DESKTOP) as page:
                desk.sign_in(page, role)
                yield page

        with signed_in("manager") as page:
            open_business(desk, page)
        friend = talks(network, tmp_path / "service.log")
        with signed_in("support") as page:
            live = page.locator("section", has=page.get_by_role("heading", name="Live calls"))
            expect(live).to_contain_text(FRIEND, timeout=STEP_S)
            call = live.get_by_role("link").first.inner_text()
            shot(page, f"{kind}-live")
            desk.does(page, "call hangup", request_id=call)
        friend.wait_for("ended", call=len(friend.calls), timeout_s=30)
        with signed_in("viewer") as page:
            find_and_read(desk, page, kind)
        with signed_in("owner") as page:
            reverse(desk, page)


def talks(network: Any, log: Path) -> Any:
    """The subscriber calls, is called back, and dials their friend, who answers; the friend.

    By a speed dial, and again where it failed, as people do: on a busy machine keys are heard twice or too late.
    """
    subscriber = network.phone(SUBSCRIBER).answers().dials("1#", after_s=8)
    friend = network.phone(FRIEND).answers()
    for attempt in range(1, 4):
        network.missed_call(ani=SUBSCRIBER, dnis=ACCESS)
        wait_until(partial(is_decided, subscriber, friend, attempt), timeout_s=120)
        if any(call.answered_at_us for call in friend.calls):
            return friend
    raise AssertionError(log.read_text())


def is_decided(subscriber: Any, friend: Any, attempts: int) -> bool:
    """Whether the friend has answered, or the subscriber was called back and that is over."""
    is_over = sum(bool(call.ended_at_us) for call in subscriber.calls) >= attempts
    return is_over or any(call.answered_at_us for call in friend.calls)


def open_business(desk: Desk, page: Page) -> None:
    """Everything that a callback needs, by forms alone."""
    desk.does(page, "tariff add", name="standard", currency="USD")
    for prefix, price in (("420", "0.06"), ("44", "0.12")):
        desk.does(page, "rate add", tariff="standard", prefix=prefix, first_price=price)
    desk.does(page, "product add", name="callback", tariff="standard")
    desk.does(page, "customer add", name="people", currency="USD")
    desk.does(page, "account add", number=SUBSCRIBER, customer="people", product="callback")
    desk.does(page, "account topup", number=SUBSCRIBER, amount="10")
    desk.does(page, "account set", number=SUBSCRIBER, speed_dial=f"1={FRIEND}")
    desk.does(page, "access-number add", number=ACCESS)


def find_and_read(desk: Desk, page: Page, kind: str) -> None:
    """Find the call by the caller's number, and read why it cost what it cost."""
    page.goto(desk.base)
    page.get_by_label("Find an account, a customer or a callback").fill(SUBSCRIBER)
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="Call records: list").click()
    expect(page.get_by_role("cell", name="answered").first).to_be_visible(timeout=STEP_S)
    page.goto(f"{desk.base}/do/why?subject={SUBSCRIBER}")
    expect(page.locator(".story").first).to_contain_text("missed call", timeout=STEP_S)
    expect(page.locator(".story").first).to_contain_text("charged", timeout=STEP_S)
    shot(page, f"{kind}-story")


def reverse(desk: Desk, page: Page) -> None:
    """Reverse a charge of the call, and see who did."""
    page.goto(f"{desk.base}/do/ledger/entries?account={SUBSCRIBER}&run=1")
    row = page.get_by_role("row").filter(has_text="settle").first
    charge = row.get_by_role("cell").first.inner_text()
    desk.does(page, "ledger reverse", transfer=charge, reason="a test call")
    page.goto(f"{desk.base}/do/ledger/entries?account={SUBSCRIBER}&kind=reversal&run=1")
    expect(page.get_by_role("cell", name=re.compile("reversal")).first).to_be_visible()
    page.goto(f"{desk.base}/do/audit/list?noun=transfer&name={charge}")
    line = page.get_by_role("row").filter(has_text="reversed_by")
    expect(line).to_contain_text("a test call")
    expect(line).to_contain_text("owner")


def shot(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)
