"""Operators of the console: names, roles, passwords, and the codes of their authenticator."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

import pyotp
from peewee import fn

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.accounts.passwords import hash_password, password_matches
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.statements import one
from stasis_callback.store.operators.tables import ConsoleSession, ConsoleUser

_ANY = "SELECT 1 FROM console_user LIMIT 1"
"""By hand: a service without a console asks it every two seconds."""
PASSWORD_LEAST = 12
STEP_S = 30
"""How long a code is good (RFC 6238); the ones before and after are accepted too, for clocks that differ."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,29}", re.ASCII)


class Role(StrEnum):
    """What an operator may do; each may do what those before it may."""

    VIEWER = "viewer"
    SUPPORT = "support"
    MANAGER = "manager"
    OWNER = "owner"

    def includes(self, other: Role) -> bool:
        """Whether who has this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class OperatorView:
    """An operator as listed: no secrets. `credentials` differs when password or key do, and tells nothing else."""

    name: str
    role: Role
    credentials: str
    created_at_us: int
    sessions: int


class Operators:
    """The operators of the console."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, name: str, role: str, password: str) -> str:
        """Add an operator; the key for their authenticator, which is not shown again. Raises InvalidInput."""
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"invalid name {name[:40]!r}: use up to 30 letters, digits and . _ @ -, for example jana"
            )
        checked, hashed, key = _role(role), _hashed(password), pyotp.random_base32()

        def once() -> None:
            # Whatever their case: in the audit log one would be taken for the other. Locked, as no index sees to it.
            self._database.lock(f"operator:{name.lower()}")
            known = ConsoleUser.get_or_none(fn.LOWER(ConsoleUser.name) == name.lower())
            if known is not None and known.code_key == key:
                return
            if known is not None:
                raise InvalidInput(
                    f"operator {known.name!r} already exists: see `stasis-callback console user list`"
                )
            ConsoleUser.create(
                name=name, role=checked, password_hash=hashed, code_key=key, code_step=0,
                created_at_us=self._clock.now_us(),
            )  # fmt: skip

        self._database.unit(once)
        return key

    def change(
        self, name: str, *, role: str | None = None, password: str | None = None, new_key: bool = False
    ) -> str:
        """Change an operator and end their sessions; the new key of their authenticator, "" if it stays.

        Raises InvalidInput.
        """
        values: dict[str, object] = {}
        if role is not None:
            values["role"] = _role(role)
        if password is not None:
            values["password_hash"] = _hashed(password)
        key = pyotp.random_base32() if new_key else ""
        if key:
            values |= {"code_key": key, "code_step": 0}

        def once() -> None:
            user = _named(name)
            if values:
                ConsoleUser.update(values).where(ConsoleUser.id == user.id).execute()
            ConsoleSession.delete().where(ConsoleSession.user == user).execute()

        self._database.unit(once)
        return key

    @unit
    def remove(self, name: str) -> None:
        """Remove an operator and end their sessions. What they did stays in the audit log. Raises InvalidInput."""
        user = ConsoleUser.get_or_none(ConsoleUser.name == name)
        if user is None and self._database.noted("removed"):
            return
        self._database.note("removed", True)
        user = user or _named(name)
        ConsoleSession.delete().where(ConsoleSession.user == user).execute()
        user.delete_instance()

    @read
    def all(self) -> list[OperatorView]:
        """Everybody, by name."""
        open_ones = [session.user_id for session in ConsoleSession.select(ConsoleSession.user)]
        return [
            OperatorView(row.name, Role(row.role), _mark(row), row.created_at_us, open_ones.count(row.id))
            for row in ConsoleUser.select().order_by(ConsoleUser.name)
        ]

    @read
    def any(self) -> bool:
        """Whether there is an operator: before the first one there is no console."""
        return one(_ANY) is not None

    def recognised(self, name: str, password: str, code: str) -> bool:
        """Whether this is the operator: password and code are theirs, and the code was not used before.

        It takes as long for a name that does not exist.
        """
        user = self._database.read(lambda: ConsoleUser.get_or_none(ConsoleUser.name == name))
        right = password_matches(password, user.password_hash if user else "")
        step = self._step_of(user.code_key, code) if user else 0
        return user is not None and right and step > 0 and self._use_code(user.id, step)

    def _step_of(self, key: str, code: str) -> int:
        """The time step that a code belongs to; 0 for a wrong one."""
        now = self._clock.now_us() // US_PER_S // STEP_S
        words = code.replace(" ", "")
        otp = pyotp.TOTP(key)
        steps = (now - 1, now, now + 1)
        return next((step for step in steps if pyotp.utils.strings_equal(words, otp.generate_otp(step))), 0)

    def _use_code(self, user_id: int, step: int) -> bool:
        """Note that a code was used; False if it was before."""

        def once() -> bool:
            changed = (
                ConsoleUser.update(code_step=step)
                .where(ConsoleUser.id == user_id, ConsoleUser.code_step < step)
                .execute()
            ) or self._database.noted("code")
            self._database.note("code", changed)
            return bool(changed)

        return self._database.unit(once)


def code_address(name: str, key: str) -> str:
    """The `otpauth://` address of a key, which authenticators read."""
    return pyotp.TOTP(key).provisioning_uri(name=name, issuer_name="stasis-callback")


def _mark(row: ConsoleUser) -> str:
    return hashlib.sha256(f"{row.password_hash} {row.code_key}".encode()).hexdigest()[:8]


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise InvalidInput(f"invalid role {text[:40]!r}: use one of {', '.join(Role)}") from None


def _hashed(password: str) -> str:
    if len(password) < PASSWORD_LEAST:
        raise InvalidInput(f"the password is too short: use at least {PASSWORD_LEAST} characters")
    return hash_password(password, "password")


def _named(name: str) -> ConsoleUser:
    user = ConsoleUser.get_or_none(ConsoleUser.name == name)
    if user is None:
        raise InvalidInput(f"unknown operator {name[:40]!r}: see `stasis-callback console user list`")
    found: ConsoleUser = user
    return found
