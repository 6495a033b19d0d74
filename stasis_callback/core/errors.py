"""The errors of the product. Expected outcomes (busy, no funds, wrong number) are return values, not errors."""

from __future__ import annotations


class CallbackError(Exception):
    """Something is wrong with the installation or its use; the message says what to do."""


class InvalidInput(CallbackError):
    """A value somebody entered cannot be used; nothing was changed. The CLI exits with 2, the web answers 4xx."""


class StoreUnavailable(CallbackError):
    """The database cannot be used now: locked, away, frozen, full. What was asked may or may not have been committed;
    to ask again under the same key tells.
    """


class NodeAlive(CallbackError):
    """Another process has this node's name: nothing may be begun. `run` exits with 3."""


class NotOurs(CallbackError):
    """Another node has taken this call over: nothing of it may be changed here any more."""


class InvariantBroken(CallbackError):
    """A rule about money or states does not hold. Nothing may continue on top of it."""


def require(condition: bool, what: str) -> None:
    """Stop with `InvariantBroken` unless `condition` holds. For money and state rules, also in production."""
    if not condition:
        raise InvariantBroken(what)
