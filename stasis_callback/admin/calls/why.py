"""`why`: the story of one callback, or of the last ones with a number, in plain words on one time line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.calls.requests import account_numbers
from stasis_callback.admin.context import AsJson, settings, store, whole
from stasis_callback.admin.days import local_time, operators_zone
from stasis_callback.admin.output import print_json, published
from stasis_callback.admin.tables import one_line, print_fields
from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_amount
from stasis_callback.core.progress import Step
from stasis_callback.core.states import RequestState

if TYPE_CHECKING:
    from stasis_callback.ari.cel import CelRecord
    from stasis_callback.store.calls.finding import LegStory
    from stasis_callback.store.calls.legs import XdrView
    from stasis_callback.store.calls.requests import RequestView
    from stasis_callback.store.stores import Stores

_CAUSES = {
    1: "unallocated number", 3: "no route", 16: "normal clearing", 17: "busy", 18: "no answer", 19: "no answer",
    20: "not registered", 21: "rejected", 26: "answered elsewhere", 27: "out of order", 28: "invalid number",
    31: "normal", 34: "no circuit", 38: "network out of order", 41: "temporary failure", 42: "congestion",
    44: "circuit not available", 58: "codec not available", 102: "timer expired", 127: "interworking",
}  # fmt: skip
_SOURCES = {"cel": " (as the CEL journal says)", "estimated": " (estimated: nobody saw the end)"}
_STEPS = {Step.RETRYING: "it will be tried again", Step.CANCELLING: "somebody cancelled it while it was live"}


@dataclass(frozen=True, slots=True)
class StoryLine:
    """Something that happened, in words."""

    at_us: int
    what: str


def why(
    subject: Annotated[
        str, typer.Argument(metavar="ID|NUMBER", help="Id of a callback or of a leg, or a phone number.")
    ],
    limit: Annotated[
        int,
        typer.Option(
            help="Maximum number of callbacks, if a phone number is given.",
            metavar="N",
            parser=whole(1, 1000),
        ),
    ] = 5,
    journal: Annotated[
        bool, typer.Option("--journal/--no-journal", help="Also read this machine's CEL journal.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Explain what happened to a callback, or to the newest callbacks with a number, and why.

    Who asked for it, what was decided and why, every leg with its trunk, hold, end and charge, what was said and
    which keys were pressed (of PINs, passwords and codes how many), repairs and reversals.
    """
    with store() as s:
        views = _found(s, subject, limit)
        stories = [(view, _story(s, view, journal)) for view in views]
    if as_json:
        print_json(
            [
                {"id": v.id, "state": v.state, "outcome": v.outcome}
                | {"events": [published({"at_us": event.at_us, "what": event.what}) for event in events]}
                for v, events in stories
            ]
        )
        return
    zone = operators_zone()
    for number, (view, events) in enumerate(stories):
        typer.echo(f"{'' if number == 0 else chr(10)}callback {view.id}")
        print_fields(
            [(f"{local_time(e.at_us, zone)}.{e.at_us // 1000 % 1000:03d}", one_line(e.what)) for e in events]
        )


def _found(s: Stores, subject: str, limit: int) -> list[RequestView]:
    """The callbacks that are meant, oldest first. Raises InvalidInput."""
    from stasis_callback.core.numbering import read_number
    from stasis_callback.store.calls.finding import RequestFilter

    request_id = subject if s.requests.exists(subject) else s.finding.request_of_leg(subject)
    if request_id:
        return [s.requests.get(request_id)]
    number = read_number(subject)
    if number is None:
        raise InvalidInput(
            f"{subject[:40]!r} is neither a callback nor a phone number: see `stasis-callback request list`"
        )
    found = s.finding.requests(RequestFilter(number=number), limit)
    account = s.accounts.find(number)
    if account is not None:
        found += s.finding.requests(RequestFilter(account_id=account.id), limit)
    newest = sorted({view.id: view for view in found}.values(), key=lambda view: -view.created_at_us)[:limit]
    if not newest:
        raise InvalidInput(
            f"no callback with {number} is stored: `stasis-callback access-number test` shows what a call would do"
        )
    return newest[::-1]


def _story(s: Stores, view: RequestView, journal: bool) -> list[StoryLine]:
    """In order of time. Nothing came before it was asked for: a leg that is noted in the same commit is as old."""
    events = (
        replace(event, at_us=max(event.at_us, view.created_at_us)) for event in _events(s, view, journal)
    )
    return sorted(events, key=lambda event: event.at_us)


def _events(s: Stores, view: RequestView, journal: bool) -> Iterator[StoryLine]:
    yield from _asked(s, view)
    legs = s.finding.legs(view.id)
    xdrs = s.finding.xdrs_of_legs([leg.id for leg in legs])
    for leg in legs:
        yield from _leg(leg, xdrs.get(leg.id))
    if journal and legs:
        yield from _journal(legs, view.created_at_us)
    for event in s.events.of(view.id):
        if event.step in _STEPS:
            yield StoryLine(event.at_us, _STEPS[event.step])
    for line in s.finding.transcript(view.id):
        yield StoryLine(line.at_us, line.words)
    for repair in s.finding.repairs([view.id, *(leg.id for leg in legs)]):
        yield StoryLine(repair.at_us, f"repaired by {repair.operator}: {repair.done} ({repair.reason})")
    yield from _end(view)


def _asked(s: Stores, view: RequestView) -> Iterator[StoryLine]:
    """Who asked, and what was decided."""
    match view.triggered_by:
        case "web" | "email" | "message":
            through = f" through instance {view.instance}" if view.instance else ""
            by = "e-mail" if view.triggered_by == "email" else view.triggered_by
            who = f"a callback was requested by {by}{through}"
        case "cli":
            who = "a callback was requested on the command line"
        case _:
            said = f" (attestation {view.attestation})" if view.attestation else ""
            who = f"missed call from {view.ani or 'a withheld number'}{said} to {view.dnis}"
    if view.key.startswith("retry:"):
        who = f"an operator repeated callback {view.key.split(':')[1]}"
    yield StoryLine(view.created_at_us, who)
    if view.state is RequestState.REFUSED:
        refusal = view.refusal
        said = f"refused: {refusal.sentence if refusal else view.outcome} ({view.outcome})"
        yield StoryLine(view.created_at_us, said + _remedy(refusal.remedy if refusal else "nothing"))
        return
    number_of = account_numbers(s)
    payer, subscriber = number_of(view.account_id), number_of(view.subscriber_id)
    wish = f", then {view.destination}" if view.destination else ""
    at = f" at {local_time(view.call_at_us, operators_zone())}" if view.call_at_us else ""
    pin = "" if subscriber else "; who it is, a PIN will tell"
    yield StoryLine(
        view.created_at_us,
        f"accepted: {view.leg_a_number} is to be called{at}{wish}, account {payer} pays for leg A{pin}",
    )


def _leg(leg: LegStory, xdr: XdrView | None) -> Iterator[StoryLine]:
    name = f"leg {leg.side.upper()}"
    via = f" over trunk {leg.trunk}" if leg.trunk else ""
    yield StoryLine(
        leg.dialed_at_us,
        f"{name}: {leg.number} is called{via}, charged to {leg.account} at the rate of prefix {leg.prefix}",
    )
    if leg.funds is not None:
        held = format_amount(leg.funds.held_micros, leg.funds.currency)
        most = "at most " if leg.answered_at_us else ""
        yield StoryLine(leg.funds.held_at_us, f"{name}: {most}{held} are held of {leg.account}")
    if leg.answered_at_us is not None:
        yield StoryLine(leg.answered_at_us, f"{name}: answered")
    if xdr is None:
        return
    cause = f"cause {xdr.cause}" + (f", {_CAUSES[xdr.cause]}" if xdr.cause in _CAUSES else "")
    talked = f"{xdr.duration_us / US_PER_S:.1f} s after the answer" if xdr.answered_at_us else xdr.outcome
    marks = ("; a clock was moved" if xdr.clock_suspect else "") + ("; it was silent" if xdr.no_media else "")
    yield StoryLine(
        xdr.ended_at_us, f"{name}: ended, {talked} ({cause}){_SOURCES.get(xdr.source, '')}{marks}"
    )
    yield from _charge(name, leg, xdr)


def _charge(name: str, leg: LegStory, xdr: XdrView) -> Iterator[StoryLine]:
    funds = leg.funds
    if funds is None or funds.closed_at_us is None:
        return
    if funds.transfer is None:
        yield StoryLine(funds.closed_at_us, f"{name}: costs nothing, what was held is free again")
        return
    over = f", of which we bear {format_amount(xdr.overrun_micros)}" if xdr.overrun_micros else ""
    amount = format_amount(xdr.amount_micros, xdr.currency)
    said = f"{name}: {xdr.charged_s} s are charged, {amount}{over} (transfer {funds.transfer})"
    yield StoryLine(max(funds.closed_at_us, xdr.ended_at_us), said)
    if funds.reversed_by is not None:
        said = f"{name}: the charge is taken back by transfer {funds.reversed_by}, {funds.reversal}"
        yield StoryLine(funds.reversed_at_us or funds.closed_at_us, said)


def _journal(legs: list[LegStory], created_at_us: int) -> Iterator[StoryLine]:
    """What Asterisk's own journal says, where it is readable and names the legs."""
    from stasis_callback.ari.cel import CelJournal, JournalUnreadable

    try:
        journal = CelJournal(settings().asterisk.cel_path)
        records = journal.records([leg.id for leg in legs], not_before_us=created_at_us - 60 * US_PER_S)
    except JournalUnreadable:
        return
    for leg in legs:
        if leg.id in records:
            yield from _journalled(f"leg {leg.side.upper()}", records[leg.id])


def _journalled(name: str, record: CelRecord) -> Iterator[StoryLine]:
    if record.answered_at_us is not None:
        yield StoryLine(record.answered_at_us, f"{name}: the CEL journal has the answer")
    if record.ended_at_us is not None:
        cause = "" if record.cause is None else f", cause {record.cause}"
        yield StoryLine(record.ended_at_us, f"{name}: the CEL journal has the hang-up{cause}")


def _end(view: RequestView) -> Iterator[StoryLine]:
    at_us = view.finished_at_us
    if view.state is RequestState.REFUSED:
        return
    if at_us is None:
        waits = f"waits, due at {local_time(view.due_at_us, operators_zone())}"
        last = f"; its last attempt: {view.ending.sentence}" if view.ending else ""
        said = (
            f"it {waits}{last}"
            if view.state is RequestState.QUEUED
            else f"it is {view.state} on {view.claimed_by}"
        )
        yield StoryLine(max(view.due_at_us, view.created_at_us), said)
    elif view.state is RequestState.CANCELLED:
        yield StoryLine(at_us, "cancelled before leg A answered")
    else:
        ending = view.ending
        tries = f" after {view.attempts} attempts" if view.attempts > 1 else ""
        said = f"ended{tries}: {ending.sentence if ending else view.outcome} ({view.outcome})"
        yield StoryLine(at_us, said + _remedy(ending.remedy if ending else "nothing"))


def _remedy(text: str) -> str:
    """What an operator can do, where there is something."""
    return "" if text == "nothing" else f"; what to do: {text}"
