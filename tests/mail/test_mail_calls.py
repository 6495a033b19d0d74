"""From a mail to a conversation: a real mail server delivers, Asterisk calls both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mail_rig import PIPED, dovecot, free_port, postfix
from mail_site import ADDRESS, PASSWORD, mail
from pydantic import SecretStr
from world import ANI, FRIEND, World

from stasis_callback.settings import EmailSettings


def takes_mails(world: World, **email: object) -> None:
    world.usual()
    account = world.stores.accounts.named(ANI)
    world.stores.accounts.change(account.number, password=PASSWORD)
    world.stores.email_instances.add(ADDRESS, {"policy": "none"})
    settings = EmailSettings(**{"enabled": True, "port": 0, **email})
    world.settings = world.settings.model_copy(update={"email": settings})


def _the_two_talk(world: World, instance: str = ADDRESS) -> Iterator[None]:
    """The phones are ready; then, the mail being on its way, both talk and all is charged."""
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    yield
    friend.wait_for("ended", timeout_s=40)
    subscriber.wait_for("answered")
    subscriber.hang_up()
    (request,) = world.finished()
    assert (request.triggered_by, request.outcome, request.instance) == ("email", "completed", instance)
    assert set(world.xdrs()) == {"a1", "b1"}


def command(**headers: str) -> bytes:
    return mail(account=ANI, first=ANI, second=FRIEND, Authentication_Results=None, **headers)


def test_a_mail_through_postfix_connects_two_phones(world: World, tmp_path: Path) -> None:
    port = free_port()
    takes_mails(world, port=port)
    with world.running(), postfix(port, tmp_path / "unused.toml") as server:
        scene = _the_two_talk(world)
        next(scene)
        server.send(command())
        assert next(scene, None) is None
        server.until_empty()


def test_a_mail_through_postfixs_pipe_connects_two_phones(world: World, folder: Path) -> None:
    """No listener: a process for each mail puts the callback into the queue, and the service finds it there."""
    takes_mails(world, listener="off")
    world.stores.email_instances.add(PIPED, {"policy": "none"})
    config = folder / "stasis-callback.toml"
    config.write_text(f'[database]\nurl = "{world.settings.database.url}"\n')
    with world.running(), postfix(free_port(), config) as server:
        for path in folder.iterdir():
            path.chmod(0o666)
        scene = _the_two_talk(world, PIPED)
        next(scene)
        server.send(command(To=PIPED), to=PIPED)
        assert next(scene, None) is None
        server.until_empty()


def test_a_mail_in_a_mailbox_connects_two_phones(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dovecot() as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        takes_mails(
            world,
            listener="off",
            imap_host="localhost",
            imap_port=server.tls_port,
            imap_user=server.USER,
            imap_password=SecretStr(server.PASSWORD),
            imap_address=ADDRESS,
        )
        with world.running():
            scene = _the_two_talk(world)
            next(scene)
            server.deliver(command())
            assert next(scene, None) is None
