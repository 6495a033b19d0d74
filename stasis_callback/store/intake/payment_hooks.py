"""Payment hooks, through which providers tell of payments. The secrets they sign with are not here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.names import by_name, is_new
from stasis_callback.store.intake.tables import PaymentHook

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PaymentHookView:
    """A hook. `turn` counts the secrets that it has had."""

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
            PaymentHook.create(name=name, turn=1, created_at_us=self._clock.now_us())
        return _view(by_name(PaymentHook, name, "payment hook"))

    @unit
    def renew(self, name: str) -> PaymentHookView:
        """Give a hook another secret; the one before is good no more. Raises InvalidInput."""
        self._database.lock("payment hooks")
        hook = by_name(PaymentHook, name, "payment hook")
        turn = self._database.noted("renewed") or hook.turn + 1
        self._database.note("renewed", turn)
        PaymentHook.update(turn=turn).where(PaymentHook.id == hook.id).execute()
        return self.named(name)

    @unit
    def remove(self, name: str) -> None:
        """Remove a hook: what it tells is refused. Raises InvalidInput."""
        again = self._database.repeated(f"removed:{name}")
        if not PaymentHook.delete().where(PaymentHook.name == name).execute() and not again:
            raise InvalidInput(f"unknown payment hook {name!r}: see `stasis-callback payment-hook list`")

    @read
    def find(self, name: str) -> PaymentHookView | None:
        """The hook with this name."""
        row = PaymentHook.get_or_none(PaymentHook.name == name)
        return _view(row) if row else None

    @read
    def named(self, name: str) -> PaymentHookView:
        """The hook with this name. Raises InvalidInput."""
        return _view(by_name(PaymentHook, name, "payment hook"))

    @read
    def all(self) -> list[PaymentHookView]:
        """Every hook by name."""
        return [_view(row) for row in PaymentHook.select().order_by(PaymentHook.name)]


def _view(row: PaymentHook) -> PaymentHookView:
    return PaymentHookView(row.name, row.turn, row.created_at_us)
