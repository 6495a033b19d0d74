"""Retention periods: the kinds of data, each with its default and minimum in days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stasis_callback.core.errors import InvalidInput

DAYS_LIMIT = 36_500


@dataclass(frozen=True, slots=True)
class Kept:
    """One kind of data. Days count from when it is no longer in use; 0 keeps it for ever."""

    name: str
    days: int
    least: int
    meaning: str


KINDS: Mapping[str, Kept] = {
    kept.name: kept
    for kept in (
        Kept(
            "steps",
            90,
            31,
            "Steps of ended web callbacks, for status pages and webhooks; notices of low balances.",
        ),
        Kept(
            "refused",
            90,
            30,
            "Refused requests, by which repeated mails are recognized; what was set aside.",
        ),
        Kept(
            "idempotency",
            1,
            1,
            "Responses to API requests that may be repeated with the same Idempotency-Key.",
        ),
        Kept("logins", 30, 1, "Failed logins that count towards a lockout."),
        Kept("replies", 30, 30, "Records of sent replies: mail servers may redeliver for days."),
        Kept("tokens", 30, 1, "One-time tokens that are used or expired."),
        Kept(
            "rates",
            0,
            2,
            "Replaced rates that no call was charged by; `rate rollback` cannot restore them afterwards.",
        ),
        Kept(
            "numbers",
            0,
            1,
            "Phone numbers in call records, legs and requests; afterwards only the country remains.",
        ),
    )
}


def checked_days(name: str, days: int) -> int:
    """Returns `days`. Raises InvalidInput, which names the minimum, if it is too short for the kind."""
    least = KINDS[name].least
    if days and not least <= days <= DAYS_LIMIT:
        raise InvalidInput(f"{days} days are too short for {name}: write {least} or more, or 0 for ever")
    return days
