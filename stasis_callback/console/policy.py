"""Who may do what in the console. A command that is not named here is one that changes something, for managers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stasis_callback.admin.commands import Command, Parameter, Takes, described
from stasis_callback.core.kinds import Kind
from stasis_callback.core.numbering import kind_of, read_beginning
from stasis_callback.store.operators.operators import Role

Values = Mapping[str, Sequence[str]]

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


@dataclass(frozen=True, slots=True)
class Credit:
    """Which fields of a command say how much credit it gives: the sum of `amounts`, so many `times`; or that of a
    `transfer` which exists.
    """

    amounts: tuple[str, ...] = ()
    times: str = ""
    transfer: str = ""


def _is_one_number(text: str) -> bool:
    """Whether this is a whole number, of those that its country has, and not the beginning of many."""
    number = read_beginning(text.strip()) or ""
    whole = Kind.ORDINARY, Kind.PREMIUM, Kind.SHARED_COST, Kind.PERSONAL, Kind.SATELLITE
    return len(number) >= WHOLE_DIGITS and kind_of(number) in whole


def _is_one_subject(text: str) -> bool:
    """Whether a subject of fraud control is a caller, an account or a number, and not what many have in common."""
    return text.startswith(("caller:", "account:", "number:"))


WHOLE_DIGITS = 8
"""Numbers with fewer, which a few small countries have, are left to managers: elsewhere others begin so."""
ONE_ALONE: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "never-call add": ("number", _is_one_number),
    "never-call remove": ("number", _is_one_number),
    "fraud set-aside": ("subject", _is_one_subject),
    "fraud release": ("subject", _is_one_subject),
}
"""The field that may mean one account or number, or all that have something in common, and how to tell. What means
many is for managers; whoever may set something aside may let it go on.
"""

SUPPORT: Mapping[str, frozenset[str]] = {
    "account set": frozenset({
        "number", "status", "callback_number", "alias", "language", "service_password", "speed_dial",
        "no_speed_dials",
    }),
    "account block": frozenset({"number"}),
    "account unblock": frozenset({"number"}),
    "access-number unlock": frozenset({"caller"}),
    "web unlock": frozenset({"account", "address", "api_key"}),
    "web resend": frozenset({"name", "callback", "since", "delivered"}),
    "request add": frozenset({"account", "number_a", "number_b", "key"}),
    "request cancel": frozenset({"request_id"}),
    "request retry": frozenset({"request_id"}),
    "call hangup": frozenset({"request_id"}),
    "opt-out add": frozenset({"number", "note"}),
    "opt-out remove": frozenset({"number"}),
    "never-call add": frozenset({"number", "note"}),
    "never-call remove": frozenset({"number"}),
    "fraud set-aside": frozenset({"subject", "note", "hours"}),
    "fraud release": frozenset({"subject"}),
    "email add-sender": frozenset({"account", "sender"}),
    "email remove-sender": frozenset({"account", "sender"}),
}  # fmt: skip
"""What those may change who may not change money, and the fields that they may give. Every other field is for
managers: one that is added to a command, an option that picks a tariff or a margin, a rule for how long an account is
worth something, or what ends all calls at once.
"""
OWNER = frozenset({"api-key", "console", "node", "config", "db", "move-in", "payment-hook"})
"""Nouns that only owners change."""
OWNER_COMMANDS = frozenset({"web webhook-secret", "message secret"})

OWNER_FIELDS = frozenset({("doctor", "bundle")})
"""Fields for owners alone: a support archive has settings and logs."""
DAILY: Mapping[str, frozenset[str]] = {
    "account set": frozenset({"number", "language"}),
    "account block": frozenset({"number"}),
    "access-number unlock": SUPPORT["access-number unlock"],
    "web unlock": SUPPORT["web unlock"],
    "web resend": SUPPORT["web resend"],
    "request add": SUPPORT["request add"],
    "request cancel": SUPPORT["request cancel"],
    "request retry": SUPPORT["request retry"],
    "call hangup": SUPPORT["call hangup"],
    "opt-out add": SUPPORT["opt-out add"],
    "never-call add": SUPPORT["never-call add"],
    "fraud set-aside": SUPPORT["fraud set-aside"],
    "email remove-sender": SUPPORT["email remove-sender"],
    "ledger verify": frozenset({"whole_books"}),
    "report recount": frozenset(),
}
"""What is done without proving again who one is, while no other field is given. All else that changes something needs
the proof, so that a command which is added does.

It is the work of every day that moves no money and changes no price, and opens nothing to anybody: it stops
something (an account, a call, a number, a sender), does again or now what an account may have done anyway (a
callback, a webhook), ends a lockout, after which guesses are counted as before, or recalculates. What lets somebody
in or go on (unblocking, aliases, passwords, senders) is not here.
"""

SECOND_OPERATOR: Mapping[str, Credit] = {
    "account topup": Credit(("amount",)),
    "account adjust": Credit(("amount",)),
    "account add": Credit(("credit_limit", "opening_balance")),
    "account set": Credit(("credit_limit",)),
    "account generate": Credit(("opening_balance",), times="count"),
    "customer topup": Credit(("amount",)),
    "customer adjust": Credit(("amount",)),
    "customer set": Credit(("credit_limit",)),
    "voucher generate": Credit(("amount",), times="count"),
    "ledger reverse": Credit(transfer="transfer"),
}
"""What gives credit, or takes it: above an amount a second operator has to agree to it."""

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
    """What a command needs. Values are the texts that are given, by parameter."""

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

    def withheld(self, role: Role, given: Values) -> bool:
        """Whether something is given that this role may not give: it is refused, not left out."""
        return any(p.name in given and not role.includes(self._role_of(p)) for p in self.command.parameters)

    def allows(self, role: Role, values: Values) -> bool:
        """Whether an operator of this role may run it with these values: what stops more than one account or number
        is for managers.
        """
        return role.includes(Role.MANAGER) or not self._is_wide(values)

    def needs_proof(self, values: Values) -> bool:
        """Whether whoever gives these values must prove again who they are."""
        daily = DAILY.get(self.command.name)
        return not self.reads and (daily is None or not daily >= set(values) or self._is_wide(values))

    def _is_wide(self, values: Values) -> bool:
        rule = ONE_ALONE.get(self.command.name)
        return rule is not None and not all(map(rule[1], values.get(rule[0], ())))

    def _role_of(self, parameter: Parameter) -> Role:
        if (self.command.name, parameter.name) in OWNER_FIELDS:
            return Role.OWNER
        fields = None if self.reads else SUPPORT.get(self.command.name)
        return Role.VIEWER if fields is None or parameter.name in fields else Role.MANAGER


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
