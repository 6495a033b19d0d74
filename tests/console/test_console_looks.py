"""How the pages look and are used, in a real Chromium: both themes, a phone, large text, keyboard, no JavaScript.

The console is in this process, over a small business, so that nothing here waits for phones. Each run looks at
one page of each kind; every page of every command, and the pictures, are for the night.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import browsing
import pytest
from console_site import ConsoleSite, Operator, open_console
from playwright.sync_api import Browser, Page, expect
from shop import Shop
from test_console_security import requests_of

from stasis_callback.admin.commands import described
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.console import policy
from stasis_callback.core.outcomes import Outcome
from stasis_callback.store.calls.legs import LegEnd

ACCESS, SUBSCRIBER = "420800123456", "420601123456"
ARTEFACTS = Path(__file__).resolve().parents[2] / "artefacts" / "console"
PAGES = (
    "/", "/reports", "/reports?by=outcome", "/noun/account", f"/do/account/show?number={SUBSCRIBER}",
    f"/do/access-number/set?number={ACCESS}", f"/do/why?subject={SUBSCRIBER}", "/me", "/second", "/nothing",
)  # fmt: skip
"""One of each kind."""
DAY_US, AGO_US = 86_400 * US_PER_S, 7200 * US_PER_S
FOCUSABLE = "a[href], button, select, textarea, input:not([type=hidden])"


def business(shop: Shop, days: int) -> None:
    """Callbacks of some days, most of them answered, and one that is under way; the last ones are two hours old."""
    stores, clock = shop.stores, shop.clock
    stores.access_numbers.add(ACCESS, {"languages": "en,es"})
    account = shop.account(SUBSCRIBER, funds="500")
    begin_us = clock.at_us
    for day in range(days):
        for call in range(1 + day % 7):
            clock.at_us = begin_us + day * DAY_US + call * 600 * US_PER_S
            leg, seconds = f"{day:02d}{call:02d}", 40 + (day * 37 + call * 91) % 300
            request = shop.request(account)
            shop.leg(leg, account, request, hold="5.00")
            answered, answered_us = (day + call) % 4 != 0, clock.at_us
            end_us = answered_us + seconds * US_PER_S
            outcome = Outcome.ANSWERED if answered else (Outcome.BUSY, Outcome.NO_ANSWER)[call % 2]
            stores.calls.settle(leg, LegEnd(answered_us if answered else None, end_us, outcome, 16, "events"))
            stores.requests.finish(request.id, "completed" if answered else "no_answer")  # type: ignore[arg-type]
    clock.at_us = begin_us + (days - 1) * DAY_US + AGO_US
    shop.leg("live", account, shop.request(account), hold="5.00")


@pytest.fixture
def site(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ConsoleSite]:
    """The console over some days that end now, for pages ask what the day is: five, or how many a test wants."""
    days = getattr(request, "param", 5)
    begin_us = Clock().now_us() - (days - 1) * DAY_US - AGO_US
    with open_console(tmp_path, monkeypatch, now_us=begin_us) as made:
        business(made.shop, days)
        yield made


@contextmanager
def signed_in(browser: Browser, operator: Operator, **options: Any) -> Iterator[Page]:
    """A browser with the session of an operator."""
    with browsing.looking(browser, **({"viewport": browsing.DESKTOP} | options)) as page:
        token = operator.http.cookies["console"]
        page.context.add_cookies([{"name": "console", "value": str(token), "url": operator.site.base}])
        yield page


@pytest.mark.timeout(300)
def test_pages_of_each_kind_can_be_used_by_everybody(site: ConsoleSite, browser: Browser) -> None:
    owner = site.operator("owner")
    with signed_in(browser, owner) as page:
        for path in PAGES:
            page.goto(site.base + path)
            usable(page, path)
        by_keyboard_alone(page, site)
    with browsing.looking(browser, viewport=browsing.PHONE, java_script_enabled=False) as page:
        without_scripts(page, site)
    for role in ("viewer", "support", "manager"):
        operator = site.operator(role)
        with signed_in(browser, operator) as page:
            page.goto(f"{site.base}/do/account/show?number={SUBSCRIBER}")
            expect(page.locator('a[href^="/do/account/topup"]')).to_have_count(int(role == "manager"))
            expect(page.locator('a[href^="/do/account/block?"]')).to_have_count(int(role != "viewer"))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_every_page_can_be_used_by_everybody(site: ConsoleSite, browser: Browser) -> None:
    """Each page of each noun and command, as it is opened and with something in it; a picture of each to look at."""
    owner = site.operator("owner")
    with signed_in(browser, owner) as page:
        for number, path in enumerate(every_page()):
            page.goto(site.base + path)
            usable(page, path)
            pictures(page, f"page-{number:03d}")


@pytest.mark.nightly
@pytest.mark.parametrize("site", [60], indirect=True)
def test_pictures_for_the_readme(site: ConsoleSite, browser: Browser) -> None:
    owner = site.operator("owner")
    site.shop.stores.nodes.enter()
    with signed_in(browser, owner, viewport={"width": 1200, "height": 720}) as page:
        for name, path, scheme in (
            ("now", "/", "light"),
            ("reports", "/reports", "dark"),
            ("access-number", f"/do/access-number/set?number={ACCESS}", "light"),
            ("story", f"/do/why?subject={SUBSCRIBER}", "light"),
        ):  # fmt: skip
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert (page.goto(site.base + path) or pytest.fail(path)).ok
            page.wait_for_load_state("load")
            page.screenshot(path=folder() / f"{name}.png")


def every_page() -> Iterator[str]:
    """Every page that can be opened by its address."""
    yield from PAGES
    yield from (f"/noun/{noun}" for _, nouns in policy.GROUPS for noun in nouns)
    for name, command in described().items():
        access = policy.access(name)
        if access is not None and name not in ("doctor", "report page", "rate export"):
            fields = requests_of(command) if access.reads else {}
            given = "&".join(f"{field}={text}".replace("+", "%2B") for field, text in fields.items())
            yield f"/do/{name.replace(' ', '/')}?{given}"


def usable(page: Page, path: str) -> None:
    """axe finds nothing in either theme; a phone, and text of twice the size, need no scrolling to the side."""
    page.emulate_media(color_scheme="light")
    browsing.accessible(page)
    page.emulate_media(color_scheme="dark")
    in_the_dark = page.evaluate("axe.run({runOnly: ['color-contrast']})")  # all else is as in the light
    assert [one["nodes"] for one in in_the_dark["violations"]] == [], path
    page.set_viewport_size({"width": 360, "height": 740})
    fits(page, f"{path} on a phone")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    fits(page, f"{path} with text of twice the size")
    page.evaluate("document.documentElement.style.fontSize = ''")


def pictures(page: Page, name: str) -> None:
    """The whole page in both themes, and on a phone."""
    for look, scheme, viewport in (
        ("light", "light", browsing.DESKTOP), ("dark", "dark", browsing.DESKTOP), ("phone", "light", browsing.PHONE),
    ):  # fmt: skip
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        page.screenshot(path=folder() / f"{name}-{look}.png", full_page=True)
    page.set_viewport_size(browsing.DESKTOP)  # type: ignore[arg-type]


def fits(page: Page, what: str) -> None:
    """Nothing of the page is beyond its right edge; wide tables scroll by themselves."""
    wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1], what


def by_keyboard_alone(page: Page, site: ConsoleSite) -> None:
    """Everything is reached by the Tab key, seen when it is, and carried out by Enter and the space bar."""
    page.goto(f"{site.base}/do/account/block?number={SUBSCRIBER}")
    wanted = page.locator(FOCUSABLE).count()
    reached: set[int] = set()
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        found = page.evaluate(
            f"[...document.querySelectorAll('{FOCUSABLE}')].indexOf(document.activeElement)"
        )
        shown = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert found < 0 or shown != "none", "where one is can be seen"
        reached.add(found)
    assert len(reached - {-1}) == wanted, "there is something that the Tab key does not reach"
    page.goto(f"{site.base}/do/account/block?number={SUBSCRIBER}")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main", "the first link skips the menu"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "number"
    page.keyboard.press("Enter")
    expect(page.locator(".done")).to_be_visible()
    assert site.shop.stores.accounts.named(SUBSCRIBER).status == "blocked"


def without_scripts(page: Page, site: ConsoleSite) -> None:
    """Signing in, the menu of a phone, reading, a form that is refused and one that is done, signing out."""
    operator = site.operator("support", "jana")
    page.goto(site.base)
    for label, text in (("Name", "jana"), ("Password", "correct horse battery"), ("Code", operator.code())):
        page.get_by_label(label).fill(text)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#panels")).to_contain_text(SUBSCRIBER)
    expect(page.get_by_text("Reload the page")).to_be_visible()
    page.locator("label.menu-button").click()
    page.locator('.topics a[href="/noun/account"]').click()
    page.locator(f'a[href="/do/account/show?number={SUBSCRIBER}"]').first.click()
    page.locator('a[href^="/do/account/unblock?"]').click()
    page.locator('[name="number"]').fill("nobody")
    page.locator("form.command > button").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown account")
    page.locator('[name="number"]').fill(SUBSCRIBER)
    page.locator("form.command > button").click()
    expect(page.locator(".done")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def folder() -> Path:
    """Where the pictures are put."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    return ARTEFACTS
