"""Asterisk's console: for what it tells neither in ARI nor in its journal."""

from __future__ import annotations

import math
import socket
import struct
from pathlib import Path


def ask(path: Path, command: str, *, timeout_s: float = 10.0) -> str:
    """What Asterisk's command line prints for a command (`core show channels`).

    Speaks to the control socket `path` as `asterisk -rx` does, without starting a process. OSError when nobody may,
    or Asterisk does not answer in time.
    """
    with socket.socket(socket.AF_UNIX) as control:
        # Asterisk takes two at a time. `settimeout` alone does not wait for one's turn: it fails at once (EAGAIN).
        wait = struct.pack("ll", math.ceil(timeout_s), 0)
        control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        control.connect(str(path))
        control.settimeout(timeout_s)
        control.recv(256)  # host name, process id and version
        control.sendall(f"cli quit after {command}".encode() + b"\0")
        answer = b""
        while chunk := control.recv(65536):
            answer += chunk
    # NULs end each piece; a line that starts with DEL is a log message on its way to every console.
    lines = answer.replace(b"\0", b"").decode(errors="replace").splitlines()
    return "\n".join(line for line in lines if not line.startswith("\x7f"))
