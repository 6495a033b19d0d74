"""The errors of the product. Expected outcomes (busy, no funds, wrong number) are return values, not errors."""

from __future__ import annotations


class CallbackError(Exception):
    """A problem with the installation or its use; the message says what to do."""


class InvalidInput(CallbackError):
    """Invalid input; nothing was changed. The CLI exits with 2, the web server answers 4xx."""


class AccountClosed(InvalidInput):
    """The account is closed: nothing can be paid in. What it had is still in the ledger, and can be reversed."""


class StoreUnavailable(CallbackError):
    """The database is unavailable: locked, unreachable, frozen, full. The change may or may not have been committed;
    repeating it with the same key is safe and tells.
    """


class NodeAlive(CallbackError):
    """Another process runs under this node's name: nothing may be started. `run` exits with 3."""


class NotOurs(CallbackError):
    """Another node has taken over this call: it must no longer be changed here."""


class InvariantBroken(CallbackError):
    """A rule about money or states is violated. Processing must not continue."""


def require(condition: bool, what: str) -> None:
    """Raise `InvariantBroken` unless `condition` holds. For rules about money and states, also in production."""
    if not condition:
        raise InvariantBroken(what)
