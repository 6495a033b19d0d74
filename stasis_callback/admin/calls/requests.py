"""`request`: callback requests and their outcome."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from stasis_callback.admin.calls.xdrs import COLUMNS as XDR_COLUMNS
from stasis_callback.admin.calls.xdrs import xdr_record
from stasis_callback.admin.context import (
    AsJson,
    digits,
    find_request,
    phone_number,
    settings,
    store,
)
from stasis_callback.admin.intake.call_options import SetOption, parse_options, require_what_is_named
from stasis_callback.admin.listing import USUAL_ROWS, Page, listed
from stasis_callback.admin.money.topup import checked_key
from stasis_callback.admin.output import Record, print_json, print_list, print_one, published
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.options import CallOptions
from stasis_callback.core.requests import CallbackRequest, Trigger
from stasis_callback.core.states import UNDER_WAY, RequestState

if TYPE_CHECKING:
    from stasis_callback.core.words import Objection
    from stasis_callback.store.calls.requests import RequestView
    from stasis_callback.store.stores import Stores

app = typer.Typer(name="request", help="Callback requests and their outcome.")

STATES = "|".join(RequestState)
TRIGGERS = get_args(Trigger)
LEG_COLUMNS = ("id", "account", "number", "dialed_at", "seconds", "funded_s")

RequestId = Annotated[str, typer.Argument(metavar="ID", help="Request id, as in `request list`.")]


COLUMNS = ("id", "created_at", "account", "ani", "number", "destination", "state", "outcome")
MORE_COLUMNS = (
    "triggered_by", "dnis", "leg_a_number", "subscriber", "instance", "attempts", "node",
    "call_at", "due_at", "finished_at",
)  # fmt: skip
BELOW = {"ani": "account", "destination": "number"}


@listed(app, COLUMNS, MORE_COLUMNS, rows=USUAL_ROWS, key="id", dated=True, below=BELOW)
def list_newest(
    page: Page,
    account: Annotated[
        str,
        typer.Option(help="Only callbacks that this account pays for, in whole or in part.", metavar="ID"),
    ] = "",
    ani: Annotated[
        str,
        typer.Option(
            help="Only callbacks of callers whose number begins with these digits.",
            metavar="DIGITS",
            parser=digits,
        ),
    ] = "",
    number: Annotated[
        str,
        typer.Option(
            help="Only callbacks with a number (the caller's, called or requested) that begins with these digits.",
            metavar="DIGITS",
            parser=digits,
        ),
    ] = "",
    state: Annotated[str, typer.Option(help="Only callbacks in this state.", metavar=STATES)] = "",
    outcome: Annotated[
        str, typer.Option(help="Only callbacks with this outcome or reason of refusal.", metavar="WORD")
    ] = "",
    trigger: Annotated[
        str, typer.Option(help="Only callbacks requested in this way.", metavar="|".join(TRIGGERS))
    ] = "",
) -> list[Record]:
    """List callback requests, newest first."""
    from stasis_callback.core.words import Ending, Refusal
    from stasis_callback.store.calls.finding import RequestFilter

    _require_one_of(state, tuple(RequestState), "a request state")
    _require_one_of(outcome, (*Ending, *Refusal), "an outcome")
    _require_one_of(trigger, TRIGGERS, "a trigger")
    with store() as s:
        account_id = s.accounts.named(account).id if account else None
        only = RequestFilter(account_id, ani, number, state, outcome, trigger, page.since_us, page.until_us)
        found = s.finding.requests(only, page.fetched, page.after)
        numbers = s.search.numbers(
            {view.account_id for view in found} | {view.subscriber_id for view in found}
        )
        return [request_record(view, lambda row_id: numbers.get(row_id, "")) for view in found]


def _require_one_of(word: str, known: Sequence[str], what: str) -> None:
    if word and word not in known:
        raise InvalidInput(f"{word!r} is not {what}: use one of {', '.join(dict.fromkeys(known))}")


@app.command()
def show(request_id: RequestId, as_json: AsJson = False) -> None:
    """Show a callback request with its live and ended legs."""
    with store() as s:
        view = find_request(s, request_id)
        record = request_record(view, account_numbers(s))
        xdrs = [xdr_record(xdr) for xdr in s.calls.xdrs(request_id=request_id)]
        legs = open_legs(s, request_id)
    if as_json:
        options = {"options": json.loads(view.stored_options)}
        ended, under_way = [published(x) for x in xdrs], [published(leg) for leg in legs]
        print_json(published(record) | options | {"xdrs": ended, "open_legs": under_way})
        return
    print_one(record, as_json=False)
    if legs:
        typer.echo("\nlive legs")
        print_list(legs, LEG_COLUMNS, as_json=False)
    if xdrs:
        typer.echo("\nxDRs")
        print_list(xdrs, XDR_COLUMNS, as_json=False)


@app.command()
def add(
    account: Annotated[str, typer.Option(help="Account that pays for both legs.", metavar="ID")],
    number_a: Annotated[
        str, typer.Option("--from", help="Number called first (leg A), in E.164 digits.", metavar="NUMBER")
    ],
    number_b: Annotated[
        str,
        typer.Option(
            "--to",
            help="Number called second (leg B); if omitted, the first party is asked for it.",
            metavar="NUMBER",
        ),
    ] = "",
    key: Annotated[
        str,
        typer.Option(
            help="Idempotency key: repeating the command with the same key makes no second callback.",
            metavar="TEXT",
        ),
    ] = "",
    options: SetOption = None,
) -> None:
    """Request a callback between two numbers, charged to an account."""
    from stasis_callback.engine.admission.orders import Order, Orders

    given = {name: text for name, text in parse_options(options or ()).items() if text}
    if key:
        checked_key(key, 64)
    with store() as s:
        require_what_is_named(s, given)
        CallOptions.parse(given)
        order = Order(
            key=f"cli:{key or secrets.token_hex(8)}",
            trigger="cli",
            account=s.accounts.named(account).number,
            number_a=phone_number(number_a),
            number_b=phone_number(number_b) if number_b else "",
            trusted=True,
            webhooks=given.get("webhooks", ""),
            options=given,
        )
        answer = Orders(s, Clock(), settings().limits.queue).admit(order)
    if answer.reason:
        raise InvalidInput(f"callback refused: {answer.reason.sentence}")
    typer.echo(f"request {answer.request_id} is queued")


@app.command()
def cancel(request_id: RequestId) -> None:
    """Cancel a callback that is still queued."""
    with store() as s:
        state = find_request(s, request_id).state
        if state in UNDER_WAY:
            remedy = f"end it with `stasis-callback call hangup {request_id}`"
            raise InvalidInput(f"request {request_id} is {state}: {remedy}")
        if not s.requests.cancel(request_id):
            raise InvalidInput(f"request {request_id} has already ended ({state})")
        state = s.requests.get(request_id).state
    # A node may have claimed it at this moment: then it is ended, and not retried.
    typer.echo(f"request {request_id} is {'cancelled' if state is RequestState.CANCELLED else 'being ended'}")


@app.command()
def retry(request_id: RequestId) -> None:
    """Repeat a callback request with the same account, number and options."""
    with store() as s:
        view = find_request(s, request_id)
        if not view.leg_a_number:
            raise InvalidInput(
                f"request {request_id} was refused ({view.outcome}) and has no number to call: "
                "see `stasis-callback access-number test`"
            )
        refusal, new_id = _ask_again(s, view)
    if refusal:
        raise InvalidInput(f"callback refused: {refusal.sentence}")
    typer.echo(f"request {new_id} is queued")


def _ask_again(s: Stores, view: RequestView) -> tuple[Objection, str]:
    """Returns the reason for a refusal and "", or "" and the id of the new request."""
    from stasis_callback.store.calls.requests import new_request_id

    # Key and id are chosen before, so that one whose answer was lost is asked again under the same.
    key = s.requests.again_key(view.id, s.requests.times_asked_again(view.id) + 1)
    request_id = new_request_id()
    refusal = s.requests.accept(
        CallbackRequest(
            key, cast(Trigger, view.triggered_by), view.ani, view.dnis, view.destination, view.instance
        ),
        account_id=view.account_id,
        # The person who answers must log in again.
        subscriber_id=None if view.triggered_by == "pin" else view.subscriber_id,
        leg_a_number=view.leg_a_number,
        stored_options=json.loads(view.stored_options),
        queue_limit=settings().limits.queue,
        request_id=request_id,
    )
    return refusal, "" if refusal else request_id


# --- records -----------------------------------------------------------------------------------------------------


def account_numbers(s: Stores) -> Callable[[int | None], str]:
    """A function that returns an account's id for its row id, with a cache."""
    return cache(lambda account_id: s.accounts.get(account_id).number if account_id else "")


def request_record(view: RequestView, number_of: Callable[[int | None], str]) -> dict[str, object]:
    """The fields that commands show for a request."""
    return {
        "id": view.id,
        "state": str(view.state),
        "outcome": view.outcome,
        "account": number_of(view.account_id),
        "subscriber": number_of(view.subscriber_id),
        "triggered_by": view.triggered_by,
        "ani": view.ani,
        "dnis": view.dnis,
        "number": view.leg_a_number or view.ani,
        "leg_a_number": view.leg_a_number,
        "destination": view.destination,
        "instance": view.instance,
        "attempts": view.attempts,
        "node": view.claimed_by,
        "created_at_us": view.created_at_us,
        "call_at_us": view.call_at_us,
        "due_at_us": view.due_at_us,
        "finished_at_us": view.finished_at_us,
    }


LONGEST_FUNDED_S = 86_400
"""The funded seconds to show: at most a day, since the hold of a free call never runs out."""


def open_legs(s: Stores, request_id: str) -> list[dict[str, object]]:
    """The live legs, with the seconds since the answer and the seconds that the held funds cover."""
    from stasis_callback.core.rating import cost_micros, longest_s

    now_us, number_of = Clock().now_us(), account_numbers(s)
    records = []
    for leg in s.calls.open_legs(request_id):
        price, held_micros = s.tariffs.version(leg.rate_id, leg.terms_id).price, s.ledger.held_micros(leg.id)
        start_us = leg.answered_at_us or leg.dialed_at_us
        cost_of = partial(cost_micros, price, start_us=start_us)
        funded_s = longest_s(cost_of, held_micros, LONGEST_FUNDED_S)
        talked_s = None if leg.answered_at_us is None else (now_us - leg.answered_at_us) // US_PER_S
        record = asdict(leg) | {"account": number_of(leg.account_id)}
        records.append(record | {"seconds": talked_s, "funded_s": max(funded_s, 0)})
    return records
