"""The form on a page of another site, in a real Chromium: the callback is placed, and its progress is seen there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from browsing import accessible, looking
from playwright.sync_api import Browser, expect
from web_site import ACCOUNT, FIRST_E164, PASSWORD, SECOND, Site

from stasis_callback.core.words import Ending

STEP_MS = 30_000
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A shop</title>
<script src="{base}/static/callback.js" defer></script></head><body><main><h1>Talk to us</h1>
<callback-form src="{base}/web/calls" reference="basket-7" country="ask" return-url="/thanks"></callback-form>
</main></body></html>"""


@pytest.fixture
def shop_page(site: Site) -> Iterator[str]:
    """The address of a page with the element, on another origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            thanks = "<!doctype html><html lang='en'><title>Thanks</title><h1>Thanks</h1></html>"
            body = (thanks if self.path == "/thanks" else PAGE.format(base=site.base)).encode()
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
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_callback_is_asked_for_and_followed_on_another_site(
    site: Site, browser: Browser, shop_page: str
) -> None:
    site.usual(allowed_origins=shop_page, proof_of_work="on")
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
    finally:
        context.close()
    assert site.callbacks() == []
