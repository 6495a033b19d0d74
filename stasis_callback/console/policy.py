"""Who may do what in the console. A command that is not named here is one that changes something, for managers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stasis_callback.admin.commands import Command, Parameter, Takes, described
from stasis_callback.store.operators.operators import Role

ON_THE_MACHINE = {
    "init": "makes the settings file and the database that the console needs",
    "run": "is the service",
    "backup": "writes everything, also secrets, into a file",
    "restore": "replaces the database that the console has open",
    "config asterisk": "writes files of Asterisk",
    "demo": "makes a database and calls of its own",
    "console serve": "is the console",
    "db upgrade": "must be done before the console can start",
    "db copy": "opens a second database",
    "sounds build": "renders files on this machine",
    "email receive": "takes a mail from the mail server",
}
"""What is for a shell on the machine, and why."""

READING = frozenset({
    "list", "show", "statement", "check", "export", "diff", "history", "explain", "simulate", "test", "options",
    "live", "calls", "refusals", "page", "entries", "form", "lockouts", "senders", "status", "say", "checkpoint",
    "why", "doctor", "replay",
})  # fmt: skip
"""The last words of commands that change nothing."""
CHANGING = frozenset({"ledger checkpoint"})
"""Commands that do, although their last word is among these: it verifies first, and notes how far it came."""

READERS = {
    "audit": Role.MANAGER, "config": Role.MANAGER, "api-key": Role.MANAGER, "payment-hook": Role.MANAGER,
    "sounds": Role.MANAGER,
    "db": Role.MANAGER, "console": Role.OWNER,
}  # fmt: skip
"""Who may look, where not everybody may."""

SUPPORT = frozenset({
    "account set", "account block", "account unblock", "access-number unlock", "web unlock", "web resend",
    "request add", "request cancel", "request retry", "call hangup",
    "opt-out add", "opt-out remove", "never-call add", "fraud set-aside", "email add-sender", "email remove-sender",
})  # fmt: skip
"""What those may change who may not change money; of `account set` not the fields about money."""
OWNER = frozenset({"api-key", "console", "node", "config", "db", "move-in", "payment-hook"})
"""Nouns that only owners change."""
OWNER_COMMANDS = frozenset({"web webhook-secret", "message secret"})

PRICE_FIELDS = frozenset({("account set", "product"), ("account set", "expires")})
"""Fields about money that are no amounts."""
OWNER_FIELDS = frozenset({("doctor", "bundle")})
"""Fields for owners alone: a support archive has settings and logs."""
PROVEN = frozenset({
    "account close", "account close-batch", "customer retire",
    "account generate", "voucher generate", "voucher redeem", "ledger reverse", "ledger repair",
    "web link", "web webhook-secret", "message secret", "email token", "rate rollback", "rate import",
})  # fmt: skip
"""Commands about money and keys, beside those with amounts: whoever runs them proves again who they are."""
PROVEN_NOUNS = frozenset({"api-key", "console", "move-in", "payment-hook"})

SECOND_OPERATOR = {"account adjust": "amount", "customer adjust": "amount"}
"""What a second operator has to agree to above an amount, and the parameter that has it."""

TRIALS = {"access-number": ("access-number test", "dnis", "ani")}
"""What can be tried out beside a thing of a noun: a command, its parameter for the thing, and the one to fill in."""

GROUPS: Sequence[tuple[str, Sequence[str]]] = (
    ("calls", ("call", "request", "xdr", "report")),
    ("customers", ("account", "customer", "product", "voucher", "ledger")),
    ("prices", ("tariff", "rate")),
    ("carriers", ("trunk", "route", "vendor", "translation")),
    (
        "entrances",
        (
            "access-number",
            "web",
            "email",
            "message",
            "api-key",
            "payment-hook",
            "opt-out",
            "never-call",
            "fraud",
        ),
    ),
    ("system", ("node", "sounds", "db", "config", "audit", "console", "move-in")),
)
"""The menu: nouns by topic."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a command needs."""

    command: Command
    reads: bool
    role: Role

    def open_to(self, role: Role) -> bool:
        """Whether an operator of this role may run it."""
        return role.includes(self.role)

    def fields_for(self, role: Role) -> Iterator[Parameter]:
        """The parameters that this role may give."""
        return (
            p
            for p in self.command.parameters
            if p.kind is not Takes.PLACE and role.includes(self._role_of(p))
        )

    def needs_proof(self, given: Sequence[str]) -> bool:
        """Whether whoever gives these parameters must prove again who they are: for money and keys."""
        name = self.command.name
        if self.reads:
            return False
        if name in PROVEN or self.command.noun in PROVEN_NOUNS:
            return True
        return any(_is_about_money(self.command, p) for p in self.command.parameters if p.name in given)

    def _role_of(self, parameter: Parameter) -> Role:
        if (self.command.name, parameter.name) in OWNER_FIELDS:
            return Role.OWNER
        return Role.MANAGER if not self.reads and _is_about_money(self.command, parameter) else Role.VIEWER


def access(name: str) -> Access | None:
    """What a command needs; None for one that the console does not have."""
    command = described().get(name)
    if command is None or name in ON_THE_MACHINE:
        return None
    reads = command.path[-1] in READING and name not in CHANGING
    return Access(command, reads, _role(command, reads))


def of_noun(noun: str, role: Role) -> list[Access]:
    """The commands about a noun that an operator of this role may run."""
    found = (access(name) for name, command in described().items() if command.noun == noun)
    return [one for one in found if one is not None and one.open_to(role)]


def _role(command: Command, reads: bool) -> Role:
    if reads:
        return READERS.get(command.noun, Role.VIEWER)
    if command.noun in OWNER or command.name in OWNER_COMMANDS:
        return Role.OWNER
    return Role.SUPPORT if command.name in SUPPORT else Role.MANAGER


def _is_about_money(command: Command, parameter: Parameter) -> bool:
    return parameter.is_money or (command.name, parameter.name) in PRICE_FIELDS
