"""Asterisk's console, where others ask it too."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from stasis_callback.ari.console import ask


def test_who_asks_while_others_are_waiting_waits_for_a_turn(tmp_path: Path) -> None:
    with ExitStack() as all_of_them, socket.socket(socket.AF_UNIX) as asterisk:
        asterisk.bind(str(tmp_path / "asterisk.ctl"))
        asterisk.listen(0)
        waiting = 0
        while True:
            other = all_of_them.enter_context(socket.socket(socket.AF_UNIX))
            other.setblocking(False)
            try:
                other.connect(str(tmp_path / "asterisk.ctl"))
            except BlockingIOError:
                break
            waiting += 1
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(ask, tmp_path / "asterisk.ctl", "core show")
            with pytest.raises(TimeoutError):  # who does not wait has failed by then
                asking.result(0.3)
            answered(asterisk, waiting)
            assert asking.result(10) == "yes"


def answered(asterisk: socket.socket, waiting: int) -> None:
    """Those who wait are sent away, and the next one gets an answer."""
    for _ in range(waiting):
        asterisk.accept()[0].close()
    ours, _ = asterisk.accept()
    with ours:
        ours.sendall(b"host/1/22")
        assert ours.recv(100) == b"cli quit after core show\0"
        ours.sendall(b"yes\0")
