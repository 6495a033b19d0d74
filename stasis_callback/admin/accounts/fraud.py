"""`fraud`: what is set aside, why, and what would be."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import operator, phone_number, printable, settings, store, whole
from stasis_callback.admin.days import operators_zone, since_us, until_us
from stasis_callback.admin.listing import USUAL_ROWS, Page, listed
from stasis_callback.admin.output import Record
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput

if TYPE_CHECKING:
    from stasis_callback.core.fraud import Budgets, Cause, Counter, Spent
    from stasis_callback.store.stores import Stores

app = typer.Typer(
    name="fraud",
    help="Fraud control: callers, accounts, numbers and others that are set aside because they cost too much.",
)

Subject = Annotated[
    str,
    typer.Argument(
        metavar="SUBJECT",
        help="caller:NUMBER, account:ID, number:NUMBER, link:ID, source:ADDRESS, range:KIND, range:PREFIX, "
        "country:CC or total.",
    ),
]
HOURS_LIMIT = 8760


@listed(
    app, ("subject", "reason", "note", "at", "until"), ("operator", "released_at"), rows=USUAL_ROWS, key="id"
)
def list_all(
    page: Page,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what was released, or whose time is over.")
    ] = False,
) -> list[Record]:
    """List what is set aside, and why, newest first. Nothing more begins for it until then, or its release."""
    with store() as s:
        found = s.fraud.listed(active=not everything, limit=page.fetched, after=page.after)
    return [asdict(one) | {"reason": one.measure} for one in found]


@app.command("set-aside")
def set_aside(
    subject: Subject,
    note: Annotated[str, typer.Option(help="Why.", metavar="TEXT")],
    hours: Annotated[
        int,
        typer.Option(
            help="For how many hours; 0: until it is released.", metavar="N", parser=whole(0, HOURS_LIMIT)
        ),
    ] = 0,
) -> None:
    """Let nothing more begin for a caller, an account, a number. Calls that are under way get no more time."""
    note = printable(note, "note")
    if not note.strip():
        raise InvalidInput("--note is empty: write why it is set aside")
    until = Clock().now_us() + hours * 3600 * US_PER_S if hours else None
    with store() as s:
        subject = _subject(s, subject)
        with recorded(s, "fraud", subject):
            s.fraud.set_aside(subject, note, operator(), until)
    typer.echo(f"{subject} is set aside" + (f" for {hours} hours" if hours else " until it is released"))


@app.command()
def release(subject: Subject) -> None:
    """Let something go on. What it has used up today is forgotten: its budgets are whole again."""
    with store() as s:
        # As it is listed: it may have been set aside under other settings, or of an account that is gone.
        subject = subject if s.fraud.active([printable(subject, "subject")]) else _subject(s, subject)
        with recorded(s, "fraud", subject):
            s.fraud.release(subject, operator())
    typer.echo(f"{subject} is released")


def _subject(s: Stores, text: str) -> str:
    """A subject as an operator writes it, in the form in which it matches. Raises InvalidInput."""
    from stasis_callback.core.fraud import parse_subject, subject_of, subject_that_matches

    subject = parse_subject(printable(text, "subject"))
    what, _, who = subject.partition(":")
    if what == "account":
        return subject_of(what, s.accounts.named(who).number)
    if what == "source":
        return subject_of(what, _counted_as(who))
    return subject_that_matches(subject, [prefix for prefix, _ in s.fraud.budgets.prefixes])


def _counted_as(source: str) -> str:
    """An address as requests have it: of IPv6 the network that a customer has. Others stay as they are."""
    from ipaddress import ip_address

    from stasis_callback.web.visitors import counted_as

    try:
        return counted_as(ip_address(source))
    except ValueError:
        return source


@listed(app, ("leg", "subject", "budget", "used", "decision"), ("period", "scope"), name="simulate")
def simulate(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="Number to call first.")],
    account: Annotated[str, typer.Option(help="Account that pays.", metavar="ID")],
    destination: Annotated[str, typer.Option(help="Number to connect it to.", metavar="NUMBER")] = "",
    caller: Annotated[str, typer.Option(help="Number that rang, of a missed call.", metavar="NUMBER")] = "",
    link: Annotated[str, typer.Option(help="Signed link it came by.", metavar="ID")] = "",
    source: Annotated[str, typer.Option(help="Address or sender it came from.", metavar="ADDRESS")] = "",
    shared: Annotated[
        bool, typer.Option("--shared", help="The account pays for others: PIN, hosted form.")
    ] = False,
) -> list[Record]:
    """Show what a callback would count for, how much of each budget is used today, and what would be decided now."""
    from stasis_callback.core.fraud import Cause

    with store() as s:
        payer = s.accounts.named(account).number
        first = Cause(payer, phone_number(number), "a", shared, caller and phone_number(caller), link, source)
        causes = (
            [first, replace(first, number=phone_number(destination), side="b")] if destination else [first]
        )
        return [row for cause in causes for row in _decisions(s, cause)]


def _decisions(s: Stores, cause: Cause) -> list[Record]:
    from stasis_callback.engine.admission.checks import number_trouble

    leg, budgets = cause.side.upper(), s.fraud.budgets
    trouble, _ = number_trouble(s, s.accounts.named(cause.account), cause.number, "")
    rows: list[Record] = []
    if trouble:
        rows.append(
            {"leg": leg, "subject": f"number:{cause.number}", "decision": f"refused: {trouble.sentence}"}
        )
    rows += [
        {
            "leg": leg,
            "subject": f"number:{entry.number}",
            "decision": "refused: on the list of numbers that are never called",
        }
        for entry in s.never_call.all()
        if cause.number.startswith(entry.number)
    ]
    held_back = {one.subject: one.note for one in s.fraud.active(budgets.subjects(cause))}
    spent = s.fraud.spent(list(budgets.counters(cause)))
    for counter in spent:
        note = held_back.get(counter.subject)
        rows.append(_row(leg, counter, spent[counter], f"refused: set aside, {note}" if note else "allowed"))
    known = {counter.subject for counter in spent}
    rows += [
        {"leg": leg, "subject": subject, "decision": f"refused: set aside, {note}"}
        for subject, note in held_back.items()
        if subject not in known
    ]
    return rows


def _row(leg: str, counter: Counter, spent: Spent, decision: str) -> Record:
    from stasis_callback.core.fraud import Budget

    used = Budget(spent.calls, spent.seconds // 60, spent.micros)
    return {
        "leg": leg,
        "subject": counter.subject,
        "scope": counter.scope.value,
        "period": counter.period.split()[1],
        "budget": f"{counter.budget} {counter.period}",
        "used": str(used),
        "decision": decision,
    }


@listed(app, ("at", "subject", "budget", "used"), ("reason",), name="replay")
def replay(
    since: Annotated[str, typer.Option(help="First day or time.", metavar="WHEN")] = "yesterday",
    until: Annotated[str, typer.Option(help="Last day, or time.", metavar="WHEN")] = "yesterday",
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Use this budget, for example account=50/200/20. May be repeated.",
            metavar="NAME=BUDGET",
        ),
    ] = None,
) -> list[Record]:
    """Show whom the calls of some days would have had set aside, with other budgets. Nothing is changed."""
    from stasis_callback.core.fraud import Meter

    zone = operators_zone()
    begin, end = since_us(since, zone), until_us(until, zone)
    if begin >= end:
        raise InvalidInput(f"--since {since} is not before --until {until}")
    meter = Meter(_changed(settings().fraud.budgets, budget or []))
    rows: list[Record] = []
    with store() as s:
        for use in s.fraud_history.uses(begin, end):
            for counter, measure, spent in meter.count(use.cause, use.at_us // US_PER_S, use.spent):
                row = _row("", counter, spent, "")
                rows.append({**row, "at_us": use.at_us, "reason": measure.value})
    return rows


def _changed(budgets: Budgets, given: list[str]) -> Budgets:
    """The budgets of the settings with those that were given. Raises InvalidInput."""
    from stasis_callback.core.fraud import BUDGET_NAMES, Budget

    changes: dict[str, Budget] = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in BUDGET_NAMES:
            raise InvalidInput(f"{name[:40]!r} is no budget: use one of {', '.join(BUDGET_NAMES)}")
        changes[name] = Budget.parse(value)
    return replace(budgets, **changes)  # type: ignore[arg-type]
