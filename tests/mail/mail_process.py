"""The mail server alone, for a process that is killed: it loads nothing of the tests, so that it starts quickly."""

from __future__ import annotations

from stasis_callback.clock import Clock, Inbox
from stasis_callback.mail.server import MailServer
from stasis_callback.settings import EmailSettings, Settings
from stasis_callback.store.stores import open_stores


def serve_mails(url: str, port: int, authserv_id: str) -> None:
    """Run the mail server of the service until it is killed."""
    clock = Clock()
    email = EmailSettings(enabled=True, port=port, authserv_id=authserv_id, smtp_port=9)
    MailServer(Settings(email=email), open_stores(url, "node1", clock), clock, lambda: None).start()
    Inbox[None]().get(None)
