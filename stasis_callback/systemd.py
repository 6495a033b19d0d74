"""What systemd is told (sd_notify(3)): that the process serves, what it waits for, and that it is alive.

A datagram to the socket in `NOTIFY_SOCKET`; nothing happens where there is none, as in a container or on a terminal.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.workers import Worker, regularly


class Systemd:
    """The service manager, if one started this process."""

    def __init__(self, clock: Clock, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        usec = environment.get("WATCHDOG_USEC", "")
        self._alive: Worker | None = None
        if self._address and usec.isdigit() and environment.get("WATCHDOG_PID", "") in ("", str(os.getpid())):
            # Twice as often as it must be told: its own advice.
            alive = regularly(int(usec) / US_PER_S / 2, lambda: self._tell("WATCHDOG=1"))
            self._alive = Worker("watchdog", alive, clock)

    def ready(self) -> None:
        """The process has its ports; from now on it says regularly that it is alive, if that is wanted."""
        self._tell("READY=1")
        if self._alive:
            self._alive.start()

    def status(self, sentence: str) -> None:
        """What `systemctl status` shows."""
        self._tell(f"STATUS={sentence}")

    def stopping(self) -> None:
        """It was asked to end."""
        if self._alive:
            self._alive.stop()
        self._tell("STOPPING=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.setblocking(False)
            one.sendto(text.encode(), self._address)
