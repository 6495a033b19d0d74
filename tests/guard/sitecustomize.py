"""No test reaches an installed machine, nor does a process that a test starts: what would is stopped before it does.

Python imports this module when it starts if `PYTHONPATH` names its folder; `tests/conftest.py` sees to that. It loads
only what Python has loaded by then, as every process of the tests starts with it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

FOLDERS = ("/etc/stasis-callback", "/etc/asterisk", "/run/asterisk", "/var/run/asterisk", "/var/log/asterisk")
"""Where an installed service and its Asterisk keep settings, sockets and journals."""
PORTS = (5038, 8080, 8088, 8024)
"""Where they listen by default: AMI and ARI, forms and mails. Those of the tests are any that are free."""
MORE = "GUARDED_FOLDER"
"""The environment variable that names one more such folder."""


class Reached(BaseException):
    """A test, or what it started, was about to use what is installed here. No `except Exception` hides it."""


def reaches(event: str, arguments: tuple[Any, ...]) -> str:
    """What is installed that an event of Python's (`sys.addaudithook`) would reach; "" for nothing."""
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple):
            here = address[0] in ("127.0.0.1", "::1", "localhost") and address[1] in PORTS
            return f"port {address[1]}" if here else ""
    elif event in ("open", "sqlite3.connect"):
        address = arguments[0]
    else:
        return ""
    path = os.fsdecode(address) if isinstance(address, str | bytes | os.PathLike) else ""
    folders = (*FOLDERS, os.environ[MORE]) if MORE in os.environ else FOLDERS
    return path if path.removeprefix("file:").startswith(folders) else ""


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("open", "socket.connect", "sqlite3.connect") and (reached := reaches(event, arguments)):
        raise Reached(f"a test reaches for {reached} of an installed machine")


sys.addaudithook(_refuse)
