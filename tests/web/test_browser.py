"""Real Chromium on each form and on the status page of a real call: what a person sees and keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import DESKTOP, PHONE, accessible, looking, picture
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr
from shop import talked
from web_site import ACCOUNT, SECRET, free_port, open_site
from world import ANI, FRIEND, World, new_world

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.settings import WebSettings
from stasis_callback.testing.phones import BUSY
from stasis_callback.web.signing import Signer

PASSWORD, HOUSE, HELP_DESK, VISITOR = "1ak45", "house", "442079460958", "420777000111"
STEP_S = 20_000


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with new_world(request.getfixturevalue(f"{request.param}_network"), tmp_path) as made:
        web = WebSettings(enabled=True, port=free_port(), secret=SecretStr(SECRET))
        made.settings = made.settings.model_copy(update={"web": web})
        made.usual()
        made.stores.accounts.change(ANI, password=PASSWORD)
        made.account(HOUSE)
        languages = "en,es,fr,it,ru"
        add = made.stores.web_instances.add
        add("simple", {"type": "simple", "second_number": HELP_DESK, "languages": languages})
        add("extended", {"type": "extended", "languages": languages, "region": "GB", "show_cost": "on"})
        add("hosted", {"type": "hosted", "second_number": HELP_DESK, "internal_account": HOUSE})
        yield made


def address(world: World, path: str) -> str:
    return world.settings.web.origin + path


def hosted(world: World) -> str:
    token = Signer(SECRET).client_token("hosted", Clock().now_us() + 600 * US_PER_S)
    return address(world, f"/web/hosted?client={token}")


def kind_of(world: World) -> str:
    return type(world.network).__name__.removesuffix("Network").lower()


def now_reads(page: Page, words: str) -> None:
    expect(page.locator("#now")).to_contain_text(words, timeout=STEP_S)


def path(page: Page) -> list[str]:
    return page.locator(".path .done, .path .now").all_inner_texts()


def test_extended_each_error_and_each_state_of_a_call(world: World, browser: Browser) -> None:
    """The main way: wrong entries are told beside their fields, then the call is followed to its end."""
    kind = kind_of(world)
    subscriber, friend = world.phone(), world.phone(FRIEND)
    with world.running(), looking(browser, viewport=DESKTOP) as page:
        _fill_in_wrongly(world, page)
        page.get_by_label("Service password").fill(PASSWORD)
        page.get_by_role("button", name="Call me").click()
        page.wait_for_url(re.compile("/status/"))
        subscriber.wait_for("ringing")
        now_reads(page, "We are calling you")
        accessible(page)
        picture(page, f"{kind}-extended-3-calling-you")
        subscriber.answer()
        now_reads(page, "We are calling the other number")
        assert "You answered" in path(page)
        friend.wait_for("ringing", timeout_s=20)
        picture(page, f"{kind}-extended-4-calling-them")
        friend.answer()
        now_reads(page, "You are connected")
        expect(page.locator("[data-since]")).to_have_text(re.compile(r"0:0[1-9]"), timeout=STEP_S)
        picture(page, f"{kind}-extended-5-connected")
        friend.hang_up()
        now_reads(page, "The call has ended. You were connected.")
        expect(page.get_by_text("USD")).to_be_visible()
        expect(page.get_by_role("button")).to_have_count(0)
        expect(page.get_by_role("link", name="Request another call")).to_be_visible()
        accessible(page)
        picture(page, f"{kind}-extended-6-ended")
        world.finished(2)  # the wrong password, and this one
        world.nothing_left()
    assert any("balance is ten dollars" in words for words in world.said)
    assert {name: xdr.account for name, xdr in world.xdrs().items()} == {"a1": ANI, "b1": ANI}


def test_the_subscribers_own_page(tmp_path: Path, browser: Browser) -> None:
    """Without scripts, on a phone and in a narrow language; each state is looked at by axe."""
    with open_site(tmp_path, account_pages=True) as site:
        site.account()
        site.stores.accounts.change(ACCOUNT, aliases=[VISITOR], speed_dials={"1": FRIEND}, language="ru")
        account = site.stores.accounts.named(ACCOUNT)
        request = site.shop.request(account)
        site.shop.leg(f"{request.id}-b1", account, request, hold="1.00")
        site.stores.calls.settle(f"{request.id}-b1", talked(65))
        with looking(browser, viewport=PHONE) as page:
            page.goto(f"{site.base}/account?lang=en")
            accessible(page)
            page.get_by_label("Account number").fill(ACCOUNT)
            page.get_by_label("Service password").fill("wrong")
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("alert")).to_contain_text("is wrong")
            accessible(page)
            page.get_by_label("Service password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("heading", name="Ваш счёт")).to_be_visible()
            accessible(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
            picture(page, "account-phone-ru")
            page.goto(f"{site.base}/account?lang=en")
            page.get_by_label("Voucher code").fill("WRONG")
            page.get_by_role("button", name="Redeem").click()
            expect(page.locator("#code-problem")).to_contain_text("неизвестен")
            accessible(page)
            page.get_by_role("link", name="Все звонки").click()
            expect(page.get_by_role("cell", name="1:05")).to_be_visible()
            accessible(page)


def _fill_in_wrongly(world: World, page: Page) -> None:
    """Each kind of error on the extended form, corrected one after the other."""
    kind = kind_of(world)
    page.goto(address(world, "/web/extended"))
    accessible(page)
    picture(page, f"{kind}-extended-1-form")

    page.get_by_role("button", name="Call me").click()  # told by the page itself, before anything is sent
    expect(page.locator("#account-problem")).to_have_text("Please fill this in.")
    expect(page.locator("#account")).to_be_focused()
    page.get_by_label("Your phone number").fill("12")
    page.get_by_label("Number you want to reach").focus()
    expect(page.locator("#first_number-problem")).to_contain_text("not a phone number")
    accessible(page)

    page.get_by_label("Account number").fill(ANI)
    page.get_by_label("Service password").fill("wrong")
    page.get_by_label("Your phone number").fill(f"+{ANI}")
    page.get_by_label("Number you want to reach").fill("020 7123 4567")
    page.get_by_label("Number you want to reach").press("Enter")  # told by the server
    expect(page.locator("#account-problem")).to_contain_text("is wrong")
    expect(page.locator("#problems")).to_be_focused()
    expect(page.get_by_label("Service password")).to_have_value("")
    expect(page.get_by_label("Your phone number")).to_have_value(f"+{ANI}")
    accessible(page)
    picture(page, f"{kind}-extended-2-wrong-password")


def test_simple_on_a_phone_by_keyboard_alone(world: World, browser: Browser) -> None:
    world.phone().answers()
    desk = world.phone(HELP_DESK).answers(after_s=1)
    with world.running(), looking(browser, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        page.goto(address(world, "/web/simple?lang=en"))
        accessible(page)
        picture(page, f"{kind_of(world)}-simple-1-form-phone")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], "nothing sticks out"
        for _ in range(5):  # the languages
            page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.type(ANI)
        page.keyboard.press("Tab")
        page.keyboard.type(f"+{ANI}")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        now_reads(page, "You are connected")
        accessible(page)
        picture(page, f"{kind_of(world)}-simple-2-connected-phone")
        desk.hang_up()
        now_reads(page, "The call has ended")
        world.finished()
        world.nothing_left()
    assert not any("balance" in words for words in world.said)
    assert world.phone().calls[0].caller_id == HELP_DESK
    assert world.xdrs()["b1"].number == HELP_DESK


def test_hosted_by_a_signed_link_at_the_houses_expense(world: World, browser: Browser) -> None:
    world.phone(VISITOR).answers()
    desk = world.phone(HELP_DESK).answers(after_s=0.5)
    with world.running(), looking(browser, viewport=PHONE) as page:
        assert page.goto(address(world, "/web/hosted")).status == 403  # type: ignore[union-attr]
        accessible(page)
        picture(page, f"{kind_of(world)}-hosted-0-closed")
        page.goto(hosted(world))
        accessible(page)
        picture(page, f"{kind_of(world)}-hosted-1-form")
        page.get_by_label("Your phone number").fill(f"+{VISITOR}")
        page.get_by_role("button", name="Call me").click()
        now_reads(page, "You are connected")
        desk.hang_up()
        now_reads(page, "The call has ended")
        world.finished()
        world.nothing_left(number=HOUSE)
        world.nothing_left()
    assert not any("balance" in words for words in world.said)
    assert {name: xdr.account for name, xdr in world.xdrs().items()} == {"a1": HOUSE, "b1": HOUSE}


def test_the_call_is_cancelled_while_it_rings(world: World, browser: Browser) -> None:
    subscriber = world.phone()
    with world.running(), looking(browser) as page:
        _send_simple(world, page)
        subscriber.wait_for("ringing")
        page.get_by_role("button", name="Cancel the call").click()
        subscriber.wait_for("ended")
        now_reads(page, "You cancelled the call.")
        picture(page, f"{kind_of(world)}-cancelled")
        world.finished()
        world.nothing_left()
    assert len(subscriber.calls) == 1


def test_a_busy_help_desk_is_told(world: World, browser: Browser) -> None:
    world.phone().answers()
    world.phone(HELP_DESK).refuses(BUSY)
    with world.running(), looking(browser) as page:
        _send_simple(world, page)
        now_reads(page, "The other number was busy.")
        picture(page, f"{kind_of(world)}-busy")
        world.finished()
        world.nothing_left()


def test_without_javascript_the_form_and_the_status_work(world: World, browser: Browser) -> None:
    subscriber, _desk = world.phone(), world.phone(HELP_DESK)
    with world.running(), looking(browser, java_script_enabled=False) as page:
        page.goto(address(world, "/web/simple"))
        page.get_by_label("Account number").fill("nobody")
        page.get_by_label("Your phone number").fill("12")
        page.get_by_role("button", name="Call me").click()
        expect(page.locator("#first_number-problem")).to_contain_text("country code")
        _send_simple(world, page)
        subscriber.wait_for("ringing")
        now_reads(page, "We are calling you")
        subscriber.answer()
        now_reads(page, "We are calling the other number")  # the page reloads itself
        subscriber.hang_up()
        now_reads(page, "The call has ended")
        world.finished()
        world.nothing_left()


def _send_simple(world: World, page: Page) -> None:
    page.goto(address(world, "/web/simple"))
    page.get_by_label("Account number").fill(ANI)
    page.get_by_label("Your phone number").fill(f"+{ANI}")
    page.get_by_role("button", name="Call me").click()
    page.wait_for_url(re.compile("/status/"))


# --- looks: the fake network is enough ------------------------------------------------------------------------------


@pytest.fixture
def quiet_world(fake_network: Any, tmp_path: Path) -> Iterator[World]:
    with new_world(fake_network, tmp_path) as made:
        look = tmp_path / "look"
        look.mkdir()
        (look / "acme.css").write_text(
            ":root { --accent: #7a1fa2; --page: #faf5ff; --radius: 4px; --font: Georgia, serif; }"
        )
        (look / "acme.svg").write_text(
            '<svg xmlns="http://www.w3.org/2000/svg" width="160" height="40"><rect width="160" height="40" rx="4"'
            ' fill="#7a1fa2"/><text x="16" y="27" font-size="20" fill="#fff">ACME</text></svg>'
        )
        web = WebSettings(enabled=True, port=free_port(), secret=SecretStr(SECRET), brand_dir=str(look))
        made.settings = made.settings.model_copy(update={"web": web})
        options = {"type": "extended", "languages": "en,es,fr,it,ru", "region": "GB"}
        made.stores.web_instances.add("calls", options)
        made.stores.web_instances.add("acme", options | {"title": "Acme calls you back"})
        yield made


@pytest.mark.parametrize("language", ["en", "es", "fr", "it", "ru"])
def test_each_language_on_a_phone_and_in_the_dark(
    quiet_world: World, browser: Browser, language: str
) -> None:
    for scheme, size in (("light", PHONE), ("dark", DESKTOP)):
        with quiet_world.running(), looking(browser, viewport=size, color_scheme=scheme) as page:
            page.goto(address(quiet_world, f"/web/calls?lang={language}"))
            assert page.locator("html").get_attribute("lang") == language
            page.locator("button").click()
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            accessible(page)
            picture(page, f"language-{language}-{scheme}")
            if language == "ru" and size is PHONE:
                _twice_as_large(page)


def _twice_as_large(page: Page) -> None:
    """Nothing sticks out and nothing is cut off when the text is twice as large (WCAG 1.4.4)."""
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    cut = page.evaluate(
        "[...document.querySelectorAll('h1, p, label, a, button')].filter("
        "one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== 'inline')"
        ".map(one => one.textContent)"
    )
    assert cut == []
    example = page.locator("#first_number-hint")
    assert "\u00a0" in example.inner_text()
    accessible(page)
    picture(page, "language-ru-twice-as-large")


def test_an_operators_own_brand(quiet_world: World, browser: Browser) -> None:
    with quiet_world.running(), looking(browser, viewport=DESKTOP) as page:
        page.goto(address(quiet_world, "/web/acme"))
        expect(page.get_by_role("heading")).to_have_text("Acme calls you back")
        colour = page.locator("button").evaluate("button => getComputedStyle(button).backgroundColor")
        assert colour == "rgb(122, 31, 162)"
        accessible(page)
        picture(page, "brand-acme")
