"""A mailbox on a real Dovecot: every mail once, whatever becomes of the connection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from imapclient import IMAPClient
from mail_rig import Dovecot, dovecot
from mail_site import ADDRESS, MailSite, mail, open_mail_site

from stasis_callback.clock import Clock, wait_until
from stasis_callback.store.database.database import Database


@pytest.fixture
def server() -> Iterator[Dovecot]:
    with dovecot() as made:
        yield made


def reading(server: Dovecot, **email: Any) -> dict[str, Any]:
    return {
        "listener": "off",
        "imap_host": "127.0.0.1",
        "imap_port": server.port,
        "imap_tls": False,
        "imap_user": server.USER,
        "imap_password": server.PASSWORD,
        "imap_address": ADDRESS,
        **email,
    }


def _eventually(condition: Any, server: Dovecot) -> None:
    assert wait_until(condition, timeout_s=20, every_s=0.1), server.log()


def connected(site: MailSite) -> bool:
    return any(line["event"] == "mailbox.connected" for line in site.log)


def test_mails_that_wait_and_mails_that_come_are_read_and_deleted(server: Dovecot, tmp_path: Path) -> None:
    server.deliver(mail())
    with open_mail_site(tmp_path, **reading(server)) as site:
        site.usual()
        _eventually(lambda: connected(site), server)
        server.deliver(mail(body="hello"))
        _eventually(lambda: site.reasons() == ["no_command"] and site.callbacks(), server)
        _eventually(lambda: server.mails() == {"new": [], "seen": []}, server)
    assert len(site.log) < 30


@pytest.mark.parametrize("moment", ["search", "fetch", "add_flags"])
def test_a_mail_that_comes_while_another_is_read_is_read_at_once(
    server: Dovecot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The server tells of it at the end of that very command, and IDLE does not tell again."""
    usual = getattr(IMAPClient, moment)

    def interrupted(client: IMAPClient, *words: Any) -> Any:
        monkeypatch.setattr(IMAPClient, moment, usual)
        server.deliver(mail(body="hello"))
        return usual(client, *words)

    with open_mail_site(tmp_path, **reading(server)) as site:
        site.usual()
        _eventually(lambda: connected(site), server)
        monkeypatch.setattr(IMAPClient, moment, interrupted)
        server.deliver(mail())
        _eventually(lambda: site.reasons() == ["no_command"] and site.callbacks(), server)
        _eventually(lambda: server.mails() == {"new": [], "seen": []}, server)


def test_mails_can_be_kept_and_are_read_once(server: Dovecot, tmp_path: Path) -> None:
    with open_mail_site(tmp_path, **reading(server, imap_keep=True)) as site:
        site.usual()
        server.deliver(mail())
        _eventually(lambda: len(server.mails()["seen"]) == 1, server)
        assert site.server.mailbox is not None
        site.server.mailbox.stop()
    assert site.refused() == []


def test_while_the_database_is_away_mails_stay(
    server: Dovecot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_mail_site(tmp_path, now_us=Clock().now_us(), **reading(server)) as site:
        site.usual()
        _eventually(lambda: connected(site), server)
        with monkeypatch.context() as broken:
            broken.setattr(Database, "transaction", property(lambda _: 1 / 0))
            server.deliver(mail())
            _eventually(lambda: any(line["event"] == "mail.put_off" for line in site.log), server)
        assert len(server.mails()["new"] + server.mails()["seen"]) == 1
        server.deliver(mail(body="hello"))
        _eventually(lambda: len(site.callbacks()) == 1, server)
        _eventually(lambda: server.mails() == {"new": [], "seen": []}, server)


def test_a_mail_that_is_too_long_is_not_even_fetched(server: Dovecot, tmp_path: Path) -> None:
    with open_mail_site(tmp_path, **reading(server, size_limit_bytes=4096)) as site:
        site.usual()
        server.deliver(mail(body="x\r\n" * 5000))
        _eventually(lambda: site.reasons() == ["too_large"], server)
        _eventually(lambda: server.mails() == {"new": [], "seen": []}, server)


def test_a_certificate_that_nobody_vouches_for_is_refused(server: Dovecot, tmp_path: Path) -> None:
    options = reading(server, imap_tls=True, imap_port=server.tls_port, imap_host="localhost")
    with open_mail_site(tmp_path, **options) as site:
        site.usual()
        _eventually(lambda: any(line["event"] == "mailbox.lost" for line in site.log), server)
        assert not connected(site)
