"""Payment hooks, through which providers tell of payments. The secrets they sign with are not here.

A secret is made of the name and the turn of its hook. So that the secret of a removed hook is never good again, its
row stays under a hidden name, and the next hook of this name begins with the turn after.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.names import by_name, hidden_name, is_hidden, is_new
from stasis_callback.store.database.trail import values_noted
from stasis_callback.store.intake.tables import PaymentHook

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PaymentHookView:
    """A hook. `turn` counts the secrets of its name, those of hooks that were removed too."""

    name: str
    turn: int
    created_at_us: int


class PaymentHooks:
    """The payment hooks."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @unit
    def add(self, name: str) -> PaymentHookView:
        """Add a hook. Raises InvalidInput when its name is taken or cannot be one."""
        self._database.lock("payment hooks")
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} is not a name for a URL: use up to 32 lower-case letters, digits and dashes"
            )
        if is_new(self._database, PaymentHook, name, "payment hook"):
            turn = _last_turn(name) + 1
            PaymentHook.create(name=name, turn=turn, created_at_us=self._clock.now_us())
        return _view(by_name(PaymentHook, name, "payment hook"))

    @unit
    def renew(self, name: str) -> PaymentHookView:
        """Give a hook another secret; the one before is good no more. Raises InvalidInput."""
        self._database.lock("payment hooks")
        hook = by_name(PaymentHook, name, "payment hook")
        turn = self._database.noted("renewed") or max(hook.turn, _last_turn(name)) + 1
        self._database.note("renewed", turn)
        PaymentHook.update(turn=turn).where(PaymentHook.id == hook.id).execute()
        return self.named(name)

    @unit
    def remove(self, name: str) -> None:
        """Remove a hook: what it tells is refused. Raises InvalidInput."""
        self._database.lock("payment hooks")
        if self._database.repeated(f"removed:{name}") and self.find(name) is None:
            return
        hook, gone = by_name(PaymentHook, name, "payment hook"), hidden_name(name)
        last = max(hook.turn, _last_turn(name))
        PaymentHook.delete().where(PaymentHook.name == gone).execute()
        PaymentHook.update(name=gone, turn=last).where(PaymentHook.id == hook.id).execute()

    @read
    def find(self, name: str) -> PaymentHookView | None:
        """The hook with this name."""
        row = None if is_hidden(name) else PaymentHook.get_or_none(PaymentHook.name == name)
        return _view(row) if row else None

    @read
    def named(self, name: str) -> PaymentHookView:
        """The hook with this name. Raises InvalidInput."""
        return _view(by_name(PaymentHook, name, "payment hook"))

    @read
    def all(self) -> list[PaymentHookView]:
        """Every hook by name."""
        rows = PaymentHook.select().order_by(PaymentHook.name)
        return [_view(row) for row in rows if not is_hidden(row.name)]


def _last_turn(name: str) -> int:
    """The last turn of the hooks of this name that were removed; 0 if there was none.

    Of those that were removed before their rows stayed, only the audit log knows.
    """
    gone = PaymentHook.get_or_none(PaymentHook.name == hidden_name(name))
    noted: Iterable[object] = values_noted("payment-hook", name, "turn") or ()
    return max([gone.turn if gone else 0, *(turn for turn in noted if isinstance(turn, int))])


def _view(row: PaymentHook) -> PaymentHookView:
    return PaymentHookView(row.name, row.turn, row.created_at_us)
