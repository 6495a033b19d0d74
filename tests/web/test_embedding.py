"""The form on a page of another site, in a real Chromium: the callback is placed, and its progress is seen there.

By our script, and in a frame. The other site is `localhost` and we are 127.0.0.1: two sites for a browser, so a frame
has no cookies of ours.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from browsing import accessible, looking
from playwright.sync_api import Browser, Page, expect
from web_site import ACCOUNT, FIRST_E164, PASSWORD, SECOND, Site

from stasis_callback.core.words import Ending

STEP_MS = 30_000
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A shop</title>
<script src="{base}/static/callback.js" defer></script></head><body><main><h1>Talk to us</h1>
<callback-form src="{base}/web/calls" reference="basket-7" country="ask" return-url="/thanks"></callback-form>
</main></body></html>"""

FRAMED = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A shop</title></head><body>
<iframe title="Call me" src="{base}/web/calls" width="600" height="900"></iframe></body></html>"""


@pytest.fixture
def shop_page(site: Site) -> Iterator[str]:
    """The address of a page with the element, on another origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            thanks = "<!doctype html><html lang='en'><title>Thanks</title><h1>Thanks</h1></html>"
            pages = {"/thanks": thanks, "/framed": FRAMED.format(base=site.base)}
            body = pages.get(self.path, PAGE.format(base=site.base)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_callback_is_asked_for_and_followed_on_another_site(
    site: Site, browser: Browser, shop_page: str
) -> None:
    site.usual(allowed_origins=shop_page, frame_origins=shop_page, proof_of_work="on")
    requests = site.stores.requests
    with looking(browser) as page:
        page.goto(shop_page)
        page.get_by_label("Account number").fill(ACCOUNT)
        page.get_by_label("Service password").fill("wrong")
        page.get_by_label("Your country").select_option(label="United Kingdom (+44)")
        page.get_by_label("Your phone number").fill("020 7123 4567")
        page.get_by_label("Number you want to reach").fill(SECOND)
        accessible(page)
        page.get_by_role("button", name="Call me").click()
        expect(page.get_by_role("status")).to_contain_text("password is wrong", timeout=STEP_MS)
        page.get_by_label("Service password").fill(PASSWORD)
        page.get_by_role("button", name="Call me").click()
        expect(page.get_by_role("status")).to_contain_text("waiting", timeout=STEP_MS)
        (row,) = site.callbacks()
        assert (row["leg_a_number"], row["reference"]) == (FIRST_E164, "basket-7")
        requests.claim(1)
        expect(page.get_by_role("status")).to_contain_text("We are calling you", timeout=STEP_MS)
        accessible(page)
        requests.finish(row["id"], Ending.BUSY)
        page.wait_for_url(f"{shop_page}/thanks", timeout=STEP_MS)
        _asks_in_a_frame(site, page, shop_page)


def _asks_in_a_frame(site: Site, page: Page, shop_page: str) -> None:
    page.goto(f"{shop_page}/framed")
    frame = page.frame_locator("iframe")
    frame.get_by_label("Account number").fill(ACCOUNT)
    frame.get_by_label("Service password").fill(PASSWORD)
    frame.get_by_label("Your phone number").fill(f"+{FIRST_E164}")
    frame.get_by_label("Number you want to reach").fill(SECOND)
    frame.get_by_role("button", name="Call me").click()
    expect(frame.get_by_role("button", name="Cancel")).to_be_visible(timeout=STEP_MS)
    assert sorted(row["state"] for row in site.callbacks()) == ["done", "queued"]


def test_a_site_that_is_not_named_shows_nothing_and_calls_nobody(
    site: Site, browser: Browser, shop_page: str
) -> None:
    site.usual()
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(shop_page)
        expect(page.get_by_role("status")).to_contain_text("…", timeout=STEP_MS)
        assert page.get_by_role("button").count() == 0
        page.goto(f"{shop_page}/framed")
        expect(page.frame_locator("iframe").get_by_label("Account number")).to_have_count(0, timeout=STEP_MS)
        assert page.frames[1].url.startswith("chrome-error:"), page.frames[1].url
    finally:
        context.close()
    assert site.callbacks() == []
