"""What a callback is to be when it is asked for, and whether there are enough already."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from stasis_callback.clock import US_PER_S
from stasis_callback.core.options import CallOptions
from stasis_callback.core.requests import MISSED_CALL, CallbackRequest, Link, Trigger
from stasis_callback.core.states import LIVE, RequestState
from stasis_callback.core.words import Ending, Objection, Refusal
from stasis_callback.store.accounts.fraud import (
    NEVER_CALLED,
    SET_ASIDE,
    asked_prefixes,
    fraud_trouble,
)
from stasis_callback.store.calls.request_view import RequestView
from stasis_callback.store.database.limits import CLOCKS_APART_S
from stasis_callback.store.database.statements import one

LIVE_NOW = "state IN ({})".format(", ".join(f"'{state.value}'" for state in LIVE))
"""As the partial indexes say it: of a value that is bound, the database does not know that it is theirs."""
REACHED = (
    Ending.COMPLETED,
    Ending.HUNG_UP,
    Ending.NOT_ACCEPTED,
    Ending.LOGIN_FAILED,
    Ending.LOW_BALANCE,
    Ending.NO_DESTINATION,
    Ending.REJECTED,
)
"""The endings of callbacks that reached somebody. The de-duplication window guards against repetition, not against
failure: a subscriber whose callback ended otherwise may ask again at once. Of an order with both numbers "no
destination" says that leg B was not reached, which is one.
"""
_FAILED = "(state = 'done' AND (outcome NOT IN ({}) OR (outcome = '{}' AND destination <> '')))".format(
    ", ".join(f"'{one.value}'" for one in REACHED), Ending.NO_DESTINATION.value
)
_REPEATED = f"""destination = ? AND created_at_us > ? AND created_at_us <= ?
    AND state <> 'refused' AND state <> ? AND NOT {_FAILED}"""
"""What makes another callback of a number, or of a subscriber who may have one at a time, a repetition."""
NODE_STATE = "SELECT state FROM node WHERE name = ? AND incarnation = ? FOR SHARE"
"""Of one start of a node; locked until the commit, so that a process that takes its name over sees the result."""
_ENOUGH = f"""SELECT EXISTS (SELECT 1 FROM request WHERE key = ?),
    (SELECT status FROM account WHERE id = ? FOR SHARE), (SELECT status FROM account WHERE id = ? FOR SHARE),
    (SELECT simultaneous_calls FROM account WHERE id = ?),
    EXISTS (SELECT 1 FROM request WHERE leg_a_number = ? AND {LIVE_NOW}),
    (SELECT COUNT(*) FROM request WHERE subscriber_id = ? AND {LIVE_NOW}),
    EXISTS (SELECT 1 FROM request WHERE leg_a_number = ? AND {_REPEATED}),
    EXISTS (SELECT 1 FROM request WHERE subscriber_id = ? AND {_REPEATED}),
    (SELECT COUNT(*) FROM request WHERE state = 'queued'),
    EXISTS (SELECT 1 FROM opt_out WHERE number = ?), {NEVER_CALLED}, {NEVER_CALLED}, {SET_ASIDE}, ({NODE_STATE})"""
"""The accounts are locked until the commit: one of them that is being closed now is closed, or has this call."""
_NEWEST = f"""SELECT (SELECT MAX(created_at_us) FROM request WHERE leg_a_number = ? AND {_REPEATED}),
    (SELECT MAX(created_at_us) FROM request WHERE subscriber_id = ? AND {_REPEATED}
            AND (SELECT simultaneous_calls FROM account WHERE id = ?) = 1)"""
_OF_LINK = f"""SELECT COUNT(*), COUNT(CASE WHEN {LIVE_NOW} THEN 1 END), (SELECT COALESCE(SUM(xdr.amount_micros), 0)
        FROM xdr JOIN request ON request.id = xdr.request_id WHERE request.link = ? AND request.link <> '')
    FROM request WHERE link = ? AND link <> '' AND state <> 'refused'"""
CALLS_OF = f"""SELECT
    (SELECT CASE status WHEN 'active' THEN simultaneous_calls ELSE 0 END FROM account WHERE id = ? FOR SHARE),
    (SELECT COUNT(*) FROM request WHERE subscriber_id = ? AND id <> ? AND {LIVE_NOW})"""
"""How many callbacks an account may have at a time, and how many it has beside one. Locked as by `_ENOUGH`."""


ASKED_BY_OTHERS = ("web", "email", "message")
"""Whom they call has not asked for it with their own phone: it may be a stranger's number."""


class Wish(TypedDict):
    """What a callback is to be. `subscriber_id` is None when the subscriber logs in later (PIN) or is anybody (a
    hosted web callback); `request_id` is the id that it gets. One of `subjects` that is set aside holds it back.
    """

    account_id: int
    subscriber_id: int | None
    leg_a_number: str
    stored_options: dict[str, str]
    queue_limit: int
    request_id: NotRequired[str]
    subjects: NotRequired[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a wish for a callback."""

    reason: Objection
    """Why it was refused; "" when it was accepted."""
    begun: RequestView | None = None
    """It, when it is claimed already: for the dialler to begin at once."""
    leg_noted: bool = False
    """Its leg A is noted and paid for already, and its attempt counted; `begun` is as it was before that."""


def new_request_id() -> str:
    """An id that no request has."""
    return secrets.token_hex(8)


def dedupe_window_us(options: CallOptions, now_us: int) -> tuple[int, int]:
    """After when, and until when, a request was asked for that makes another one now a repetition.

    The end is a little ahead, for the clock of another node; nothing lies within a window of 0 s. What was asked for
    later than that was asked for by a clock that was wrong: nobody knows when, so it says nothing.
    """
    window_us = int(options.dedupe_window_s * US_PER_S)
    return now_us - window_us, now_us + min(window_us, CLOCKS_APART_S * US_PER_S)


def too_much(
    request: CallbackRequest,
    leg_a_number: str,
    account_id: int,
    subscriber_id: int | None,
    window_us: tuple[int, int],
    queue_limit: int,
    subjects: tuple[object, ...],
    node: tuple[str, str],
) -> tuple[Objection, str | None]:
    """Why there are enough callbacks already; "" when one more is welcome. One with the same key is `repeated`.

    `window_us` is `dedupe_window_us`, `subjects` are the values of `SET_ASIDE`. The state of a `node` (its name and
    incarnation) is read with it; None for one that is none.
    """
    again = request.destination, *window_us, _free(request.trigger)
    *found, node_state = one(
        _ENOUGH,
        request.key,
        *(account_id, subscriber_id),
        *(subscriber_id, leg_a_number, subscriber_id),
        *(leg_a_number, *again),
        *(subscriber_id, *again),
        leg_a_number,
        *asked_prefixes(leg_a_number),
        *asked_prefixes(request.destination),
        *subjects,
        *node,
    )
    return _objection(request, queue_limit, *found), node_state


def _objection(
    request: CallbackRequest,
    queue_limit: int,
    known: bool,
    payer_status: str,
    subscriber_status: str | None,
    at_once: int | None,
    number_live: bool,
    live: int,
    number_repeated: bool,
    subscriber_repeated: bool,
    queued: int,
    opted_out: bool,
    *fraud: Any,
) -> Objection:
    """The same, of a row of `_ENOUGH`."""
    if known:
        return Refusal.REPEATED
    if payer_status != "active" or subscriber_status not in ("active", None):
        return Refusal.ACCOUNT_BLOCKED
    never_a, never_b, set_aside = fraud
    trouble = fraud_trouble(set_aside, never_a or never_b)
    if trouble is not None:
        return trouble
    if opted_out and request.trigger in ASKED_BY_OTHERS:
        return Refusal.OPTED_OUT
    if request.link and (reason := _link_trouble(request.link)):
        return reason
    if number_live or (at_once is not None and live >= at_once):
        return Refusal.IN_PROGRESS
    if number_repeated or (at_once == 1 and subscriber_repeated):
        return Refusal.REPEATED
    return Refusal.QUEUE_FULL if queued >= queue_limit else ""


def _link_trouble(link: Link) -> Objection:
    """Why a signed link makes no more callbacks; "" while it does."""
    made, live, spent_micros = one(_OF_LINK, link.id, link.id)
    if (link.uses and made >= link.uses) or (link.money_micros and spent_micros >= link.money_micros):
        return Refusal.LINK_USED_UP
    return Refusal.IN_PROGRESS if link.money_micros and live else ""


def _free(trigger: Trigger) -> str:
    """The state of callbacks that may be repeated at once, beside those that have failed."""
    # Who took back what was asked for on a form asks again for something better.
    return (RequestState.REFUSED if trigger in MISSED_CALL else RequestState.CANCELLED).value


def newest_us(
    trigger: Trigger, number: str, subscriber_id: int | None, destination: str, window_us: tuple[int, int]
) -> int | None:
    """When the last callback of a number or subscriber was asked for that makes another one `repeated`."""
    again = destination, *window_us, _free(trigger)
    found = one(_NEWEST, number, *again, subscriber_id, *again, subscriber_id)
    return max((at_us for at_us in found if at_us is not None), default=None)
