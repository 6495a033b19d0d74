"""Packets that vanish: what an unplugged cable or a firewall that forgot its table does. No RST, no FIN, nothing.

The kernel's packet filter drops what comes to or from a TCP port over loopback. The table belongs to a process that
dies with us and takes the table with it. It takes nftables (`tools/get-faults`) and root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

_numbers = count(1)


class PacketFilterUnavailable(Exception):
    """Packets cannot be dropped here; the message says why."""


@contextmanager
def packets_lost(port: int) -> Iterator[None]:
    """Drop all packets to and from the TCP port `port` of this machine until the end of the block."""
    name = f"stasis_callback_test_{os.getpid()}_{next(_numbers)}"
    rules = f"""
add table inet {name} {{ flags owner; }}
add chain inet {name} drops {{ type filter hook input priority 0; }}
add rule inet {name} drops iif "lo" tcp dport {port} drop
add rule inet {name} drops iif "lo" tcp sport {port} drop
list table inet {name}
"""
    command = ["setpriv", "--pdeathsig", "KILL", "nft", "--interactive"]
    try:
        filter_process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except FileNotFoundError as why:
        raise PacketFilterUnavailable("there is no nftables here: run tools/get-faults as root") from why
    with filter_process:
        assert filter_process.stdin is not None
        assert filter_process.stdout is not None
        filter_process.stdin.write(rules)
        filter_process.stdin.flush()
        said = []
        try:
            for line in filter_process.stdout:
                said.append(line)
                if "Error" in line:
                    raise PacketFilterUnavailable(f"nftables says: {''.join(said)}")
                if f"tcp sport {port} drop" in line and "add rule" not in line:
                    break  # the table is listed with its last rule: all of it works
            else:
                raise PacketFilterUnavailable(f"nftables ended: {''.join(said)}")
            yield
        finally:
            filter_process.kill()
