"""`kill -9` between DATA and 250: after the mail server's next attempt there is exactly one callback."""

from __future__ import annotations

import multiprocessing
import os
import random
import select
import signal
import smtplib
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from mail_process import serve_mails
from mail_rig import free_port, postfix
from mail_site import ACCOUNT, ADDRESS, OURS, PASSWORD, mail
from shop import open_shop
from test_mail_calls import command, takes_mails
from world import FRIEND, World

from stasis_callback.clock import Clock, wait_until

LONGEST_S, SHORTEST_S = 0.15, 0.002
"""Kills come at any moment between the end of a mail and its answer. How long that is depends on the machine, so the
longest wait before a kill follows it: shorter after a mail that was answered first, longer after one that was not.
"""


class Server:
    """The process, started again whenever it was killed."""

    def __init__(self, url: str) -> None:
        self._context = multiprocessing.get_context("forkserver")
        # What is loaded before the fork is not loaded a hundred times; `pytest`, because that is the main module.
        self._context.set_forkserver_preload(["pytest", "stasis_callback.mail.server"])
        self._url = url
        self.port = free_port()
        self.process: BaseProcess = self._start()

    def _start(self) -> BaseProcess:
        process = self._context.Process(target=serve_mails, args=(self._url, self.port, OURS), daemon=True)
        process.start()
        return process

    def kill(self) -> None:
        assert self.process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()

    def connected(self) -> smtplib.LMTP:
        """A connection; to a new process where the old one was killed."""
        if not self.process.is_alive():
            self.process = self._start()
        clients: list[smtplib.LMTP] = []

        def connects() -> bool:
            with suppress(OSError, smtplib.SMTPException):
                clients.append(smtplib.LMTP("127.0.0.1", self.port))
            return bool(clients)

        assert wait_until(connects, timeout_s=20, every_s=0.01)
        return clients[0]


def _hand_over(server: Server, raw: bytes, kill_after_s: float | None) -> tuple[int, bool]:
    """Deliver a mail, and kill the server so long after the end of its data: its answer (0: none), and if it was."""
    client = server.connected()
    try:
        client.ehlo()
        assert client.mail("ann@people.example")[0] == 250
        assert client.rcpt(ADDRESS)[0] == 250
        assert client.docmd("DATA")[0] == 354
        client.send(raw + b".\r\n")
        if kill_after_s is None:
            return client.getreply()[0], False
        assert client.sock is not None
        if select.select([client.sock], [], [], kill_after_s)[0]:
            return client.getreply()[0], False
        server.kill()
        with suppress(OSError, smtplib.SMTPException):
            return client.getreply()[0], True  # it was on its way already
        return 0, True
    finally:
        client.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", [20, pytest.param(100, marks=pytest.mark.nightly)])
def test_mails_each_killed_before_its_answer_make_as_many_callbacks(tmp_path: Path, kills: int) -> None:
    names = ("source", "account", "instance", "logins", "source_logins")
    wide = {f"limit_{name}": "100000/3600" for name in names}
    with open_shop(tmp_path, Clock().now_us()) as shop:
        shop.account(ACCOUNT)
        shop.stores.accounts.change(ACCOUNT, password=PASSWORD, simultaneous_calls=1000)
        shop.stores.email_instances.add(ADDRESS, wide | {"reply": "on", "replies_per_hour": "1000"})
        tokens = shop.stores.email_senders.give_out(ACCOUNT, kills // 2, 30)
        server, rng, longest_s = Server(shop.url), random.Random(0), LONGEST_S
        killed = sent = 0
        try:
            while killed < kills:
                secret = tokens[sent] if sent < len(tokens) else PASSWORD
                raw = mail(secret=secret, first=f"4420794{sent:05d}")
                sent += 1
                code, was_killed = _hand_over(server, raw, rng.uniform(0, longest_s))
                killed += was_killed and not code
                longest_s = (
                    min(longest_s * 1.1, LONGEST_S) if was_killed else max(longest_s * 0.8, SHORTEST_S)
                )
                while code != 250:  # as a mail server goes on until it is told that the mail was taken
                    code, _ = _hand_over(server, raw, None)
        finally:
            server.kill()
        rows = shop.rows()
    assert sorted(row["leg_a_number"] for row in rows["Request"]) == [f"4420794{n:05d}" for n in range(sent)]
    assert {row["state"] for row in rows["Request"]} == {"queued"}
    assert len(rows["EmailToken"]) == len(tokens)
    assert all(row["used_by"] for row in rows["EmailToken"])
    assert len(rows["EmailReply"]) == sent


@pytest.mark.parametrize("point", ["mail-data", "mail-decided"])
def test_killed_between_data_and_answer_the_call_is_made_once_after_postfix_has_tried_again(
    world: World, tmp_path: Path, point: str
) -> None:
    port = free_port()
    takes_mails(world, port=port)
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with postfix(port, tmp_path / "unused.toml") as mx:
        with world.process(tmp_path, STASIS_CALLBACK_CRASH_AT=point) as service:
            mx.send(command())
            service.wait(20)
        with world.process(tmp_path):
            mx.tries_again_until(lambda: not mx.queue())
            friend.wait_for("ended", timeout_s=40)
            subscriber.hang_up()
            (request,) = world.finished()
    assert request.triggered_by == "email"
    assert (len(subscriber.calls), len(friend.calls)) == (1, 1)
