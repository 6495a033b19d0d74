"""A receiver of webhooks, and what there is to tell it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from web_site import ACCOUNT, SECOND_E164, Site

from stasis_callback.core.requests import CallbackRequest
from stasis_callback.monitoring.metrics import Metrics
from stasis_callback.web.webhooks import Webhooks
from stasis_callback.workers import Workers


class Receiver(ThreadingHTTPServer):
    """Takes webhooks; answers what `answers` says, the last of it for ever."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is closed resets its connections; nobody is told on standard error."""

    def __init__(self) -> None:
        self.answers = [200]
        self.location = "http://127.0.0.1:1/elsewhere"
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.accepted: list[str] = []
        """The types of those that it answered with 200."""

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server: Any = self.server
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.taken.append((dict(self.headers), body))
                status = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                server.accepted += [json.loads(body)["type"]] if status == 200 else []
                self.send_response(status)
                self.send_header("Location", server.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in list(self.taken)]


def orders(site: Site, instance: str, count: int) -> list[str]:
    """Queue callbacks; the key of each is also its number."""
    account = site.stores.accounts.change(ACCOUNT, simultaneous_calls=1000)
    first = len(site.callbacks())
    keys = [f"44{first + n:06d}" for n in range(count)]
    for key in keys:
        request = CallbackRequest(key, "web", "x", "", SECOND_E164, instance)
        refusal = site.stores.requests.accept(
            request, account_id=account.id, subscriber_id=None, leg_a_number=key, stored_options={},
            queue_limit=9999,
        )  # fmt: skip
        assert refusal == ""
    return keys


@contextmanager
def telling(site: Site) -> Iterator[Webhooks]:
    """Start webhooks with the steps stored so far."""
    metrics = Metrics(site.stores, Workers(), lambda: True, site.shop.clock)
    webhooks = Webhooks(site.stores, site.server.app.signer, site.shop.clock, metrics)
    webhooks.start()
    try:
        yield webhooks
    finally:
        webhooks.stop()
