"""Networks of their own, made of the kernel's namespaces: usual ports are free there, and cables can be pulled.

A namespace belongs to a thread: `with own_network()` moves the calling one into a new one, and what it starts is
there too. Needs root, util-linux and iproute2.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stasis_callback.clock import wait_until

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
NETWORK = "10.99.0"
HUB = f"{NETWORK}.1"
"""The address of this machine in a network of several."""


class NetworkUnavailable(Exception):
    """No network can be made here; the message says why."""


@contextmanager
def own_network() -> Iterator[None]:
    """This thread, and what it starts, is in a network with nothing but loopback. Raises NetworkUnavailable."""
    with Path("/proc/thread-self/ns/net").open() as usual:
        if _LIBC.unshare(_CLONE_NEWNET):
            raise NetworkUnavailable(f"no network of its own: {os.strerror(ctypes.get_errno())}")
        try:
            _ip("link set lo up")
            yield
        finally:
            _LIBC.setns(usual.fileno(), _CLONE_NEWNET)


@contextmanager
def switch() -> Iterator[None]:
    """This thread is in a network of its own, into which machines can be plugged. Raises NetworkUnavailable."""
    with own_network():
        _ip("link add hub type bridge", f"addr add {HUB}/24 dev hub", "link set hub up")
        yield


class PluggedIn:
    """A machine at this thread's switch, as far as the network goes: an address, and a cable that can be pulled."""

    def __init__(self, number: int) -> None:
        """Plug it in, at an address that ends in `number`. Raises NetworkUnavailable."""
        self.address = f"{NETWORK}.{number}"
        self._cable = f"port{number}"
        words = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"]
        self._holder = subprocess.Popen(words)
        self._place = Path(f"/proc/{self._holder.pid}/ns/net")
        here = Path("/proc/thread-self/ns/net").readlink()
        if not wait_until(lambda: self._place.readlink() != here, timeout_s=5, every_s=0.01):
            raise NetworkUnavailable("no further network of its own")
        _ip(
            f"link add {self._cable} type veth peer name eth0 netns {self._holder.pid}",
            f"link set {self._cable} master hub up",
        )
        with self.inside():
            _ip("link set lo up", f"addr add {self.address}/24 dev eth0", "link set eth0 up")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Within the block this thread, and what it starts, is on that machine."""
        with Path("/proc/thread-self/ns/net").open() as back, self._place.open() as there:
            _LIBC.setns(there.fileno(), _CLONE_NEWNET)
            try:
                yield
            finally:
                _LIBC.setns(back.fileno(), _CLONE_NEWNET)

    def cut(self) -> None:
        """Pull the cable: nothing gets there or back, and neither side is told."""
        _ip(f"link set {self._cable} down")

    def mend(self) -> None:
        """Plug it in again."""
        _ip(f"link set {self._cable} up")

    def unplug(self) -> None:
        """The end of it."""
        self._holder.kill()
        self._holder.wait()


def _ip(*commands: str) -> None:
    for command in commands:
        done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NetworkUnavailable(f"ip {command}: {done.stderr.strip()}")
