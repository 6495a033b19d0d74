"""Ports that the process listens on: opened before anything else is started, closed at the end."""

from __future__ import annotations

import errno
import os
import socket

from stasis_callback.core.errors import CallbackError
from stasis_callback.settings import EmailSettings, MetricsSettings, WebSettings

BACKLOG = 2048
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class Port:
    """A listening address and port. Connections wait until a server accepts them.

    A server uses `copies` of its sockets and may close them: when it is restarted, the port is still open and keeps
    its waiting connections.
    """

    def __init__(self, host: str, port: int, *, what: str, settings: str) -> None:
        """Listen for `what`. Raises CallbackError, which names `what` and `settings`, if that is not possible."""
        try:
            self._sockets = _listening(host, port)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            taken = (
                f"; to see which program uses it: ss -ltnp 'sport = :{port}'"
                if error.errno == errno.EADDRINUSE
                else ""
            )
            raise CallbackError(
                f"{what} cannot listen on {host}:{port}: {reason}: check {settings}{taken}"
            ) from None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; the actual port if the setting is 0."""
        host, port = self._sockets[0].getsockname()[:2]
        return str(host), int(port)

    def copies(self) -> list[socket.socket]:
        """Duplicates of the sockets; the caller closes them."""
        return [one.dup() for one in self._sockets]

    def close(self) -> None:
        """Stop listening."""
        for one in self._sockets:
            one.close()


def web_port(web: WebSettings) -> Port:
    """The port of forms, status pages and the API. Raises CallbackError."""
    return Port(web.host, web.port, what="the web server", settings="web.host and web.port")


def metrics_port(metrics: MetricsSettings) -> Port:
    """The port of the figures. Raises CallbackError."""
    return Port(metrics.host, metrics.port, what="metrics", settings="metrics.host and metrics.port")


def mail_port(email: EmailSettings) -> Port:
    """The port of the mail listener. Raises CallbackError."""
    return Port(email.host, email.port, what="the mail listener", settings="email.host and email.port")


def _listening(host: str, port: int) -> list[socket.socket]:
    """All addresses of a host name that this machine has."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    missing = OSError(errno.EADDRNOTAVAIL, "")
    try:
        for family, _, _, _, (name, number, *scope) in found:
            # If any free port will do, all addresses use the same one.
            address = (name, made[0].getsockname()[1] if made else number, *scope)
            try:
                made.append(socket.create_server(address, family=family, backlog=BACKLOG))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
    except OSError:
        for one in made:
            one.close()
        raise
    if not made:
        raise missing
    return made
