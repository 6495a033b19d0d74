"""Behind a real Postfix, on the configuration that is shipped: by LMTP and by the pipe."""

from __future__ import annotations

import os
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mail_rig import PIPED, Postfix, postfix
from mail_site import ADDRESS, FIRST, SECOND, MailSite, mail, open_mail_site

from stasis_callback.clock import Clock, wait_until
from stasis_callback.mail.server import MailServer


def settings_file(site: MailSite, folder: Path) -> Path:
    """The settings of the site in a file, and its database so that the pipe's user can write it."""
    config = folder / "stasis-callback.toml"
    config.write_text(
        f'[database]\nurl = "{site.shop.url}"\n[email]\nauthserv_id = "{site.settings.email.authserv_id}"\n'
    )
    for path in folder.iterdir():
        path.chmod(0o666)
    return config


@pytest.fixture
def site(folder: Path) -> Iterator[MailSite]:
    # The pipe is a process of its own, with the machine's clock.
    with open_mail_site(folder, now_us=Clock().now_us()) as made:
        made.usual(policy="none")  # Postfix takes the Authentication-Results out, as it should
        yield made


@pytest.fixture
def mx(site: MailSite, folder: Path) -> Iterator[Postfix]:
    with postfix(site.address[1], settings_file(site, folder)) as server:
        yield server


def test_a_mail_by_lmtp_becomes_a_callback(site: MailSite, mx: Postfix) -> None:
    mx.send(mail())
    assert wait_until(lambda: bool(site.callbacks()), timeout_s=20), mx.log()
    (callback,) = site.callbacks()
    assert (callback["leg_a_number"], callback["destination"], callback["instance"]) == (
        FIRST,
        SECOND,
        ADDRESS,
    )
    mx.until_empty()


def test_a_mail_by_the_pipe_becomes_a_callback(site: MailSite, mx: Postfix) -> None:
    site.stores.email_instances.add(PIPED, {"policy": "none"})
    mx.send(mail(To=PIPED), to=PIPED)
    assert wait_until(lambda: bool(site.callbacks()), timeout_s=30), mx.log()
    assert site.callbacks()[0]["instance"] == PIPED
    mx.until_empty()


def test_unknown_addresses_and_long_mails_are_refused_before_they_are_taken(
    site: MailSite, mx: Postfix
) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        mx.send(mail(), to="nobody@calls.example")
    with pytest.raises(smtplib.SMTPException):
        mx.send(mail(body="x " * 6_000_000))
    assert mx.queue() == []


def test_what_is_refused_never_comes_back_to_a_sender_that_may_be_forged(site: MailSite, mx: Postfix) -> None:
    mx.send(mail(secret="wrong"))
    mx.send(mail(body="hello"))
    mx.send(mail(From="a@b.example, c@d.example"))
    assert wait_until(lambda: mx.log().count("status=sent") == 3, timeout_s=20), mx.log()
    assert mx.queue() == []
    assert "status=bounced" not in mx.log()
    assert site.callbacks() == []


def test_while_the_listener_is_away_postfix_keeps_the_mail(site: MailSite, mx: Postfix) -> None:
    port = site.address[1]
    site.server.stop()
    mx.send(mail())
    assert wait_until(lambda: "status=deferred" in mx.log(), timeout_s=20), mx.log()
    again = site.settings.model_copy(update={"email": site.settings.email.model_copy(update={"port": port})})
    site.server = MailServer(again, site.stores, site.shop.clock, lambda: None)
    site.server.start()
    mx.tries_again_until(lambda: len(site.callbacks()) == 1)
    mx.until_empty()


def test_while_the_database_is_away_the_pipe_keeps_the_mail(
    site: MailSite, mx: Postfix, folder: Path
) -> None:
    site.stores.email_instances.add(PIPED, {"policy": "none"})
    config = folder / "stasis-callback.toml"
    good = config.read_text()
    config.write_text('[database]\nurl = "sqlite:////nowhere/x.db"\n')
    mx.send(mail(To=PIPED), to=PIPED)
    assert wait_until(lambda: "status=deferred" in mx.log(), timeout_s=30), mx.log()
    config.write_text(good)
    mx.tries_again_until(lambda: len(site.callbacks()) == 1)
    mx.until_empty()


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\n", b"\r\n.\r"])
def test_a_second_mail_cannot_be_smuggled_in_behind_a_first(site: MailSite, mx: Postfix, end: bytes) -> None:
    inner = mail(first="442079460111")
    hidden = (
        b"MAIL FROM:<b@b.example>\r\nRCPT TO:<" + ADDRESS.encode() + b">\r\nDATA\r\n" + inner + b"\r\n.\r\n"
    )
    with smtplib.SMTP("127.0.0.1", mx.port, timeout=20) as client:
        client.ehlo("x")
        client.mail("a@b.example")
        client.rcpt(ADDRESS)
        assert client.docmd("DATA")[0] == 354
        client.send(b"From: a@b.example\r\nSubject: x\r\n\r\nhello" + end + hidden)
        code, _ = client.getreply()
    assert wait_until(lambda: not mx.queue(), timeout_s=20), mx.log()
    assert site.callbacks() == [], code


def test_authentication_results_of_others_are_taken_out(site: MailSite, mx: Postfix) -> None:
    site.stores.email_instances.change(ADDRESS, {"policy": "authenticated"})
    mx.send(mail())
    assert wait_until(lambda: site.reasons() == ["not_proven"], timeout_s=20), mx.log()
    assert site.callbacks() == []


# --- the pipe by itself ------------------------------------------------------------------------------------------


def piped(config: Path, raw: bytes, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "stasis_callback", "--config", str(config), "email", "receive", *words],
        input=raw,
        env=os.environ | environment,
        capture_output=True,
        check=False,
    )


def test_the_pipe_finds_its_instance_by_the_environment_too(site: MailSite, folder: Path) -> None:
    config = settings_file(site, folder)
    site.stores.email_instances.add(PIPED, {"policy": "none"})
    done = piped(config, mail(), ORIGINAL_RECIPIENT=PIPED)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert site.callbacks()[0]["instance"] == PIPED
    assert piped(config, mail(), "--to", "who@calls.example").returncode == 75


def test_the_pipe_takes_lines_that_end_with_a_line_feed_alone(site: MailSite, folder: Path) -> None:
    done = piped(settings_file(site, folder), mail().replace(b"\r\n", b"\n"))
    assert done.returncode == 0, done.stderr
    assert len(site.callbacks()) == 1


@pytest.mark.parametrize(
    "broken", ["x = ", "[email]\nunknown = 1\n", '[database]\nurl = "sqlite:////nowhere/x.db"\n']
)
def test_whatever_is_wrong_here_the_mail_server_keeps_the_mail(
    site: MailSite, folder: Path, broken: str
) -> None:
    config = settings_file(site, folder)
    config.write_text(broken)
    assert piped(config, mail()).returncode == 75
