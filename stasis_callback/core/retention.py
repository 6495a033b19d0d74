"""How long what is no longer needed is kept: each kind with its default, and the least that the product needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stasis_callback.core.errors import InvalidInput

DAYS_LIMIT = 36_500


@dataclass(frozen=True, slots=True)
class Kept:
    """One kind of row. Days count from when it was over; 0 keeps it for ever."""

    name: str
    days: int
    least: int
    meaning: str


KINDS: Mapping[str, Kept] = {
    kept.name: kept
    for kept in (
        Kept("steps", 90, 31, "Steps of web callbacks that are over, for status pages and webhooks."),
        Kept("refused", 90, 30, "Requests that were refused; a mail that comes again must find its own."),
        Kept("idempotency", 1, 1, "Answers to requests that may be repeated with the same Idempotency-Key."),
        Kept("logins", 30, 1, "Wrong logins that count towards a lock."),
        Kept("replies", 30, 30, "That a mail was answered; mail servers deliver again for days."),
        Kept("tokens", 30, 1, "One-time tokens for mails that are used or have expired."),
        Kept(
            "rates",
            0,
            2,
            "Prices that others have replaced and no call was charged by; then no way back to them.",
        ),
        Kept(
            "numbers",
            0,
            1,
            "Telephone numbers in call records, legs and requests; then only the country is left.",
        ),
    )
}


def checked_days(name: str, days: int) -> int:
    """`days` when a kind may be kept so long. Raises InvalidInput that names the least."""
    least = KINDS[name].least
    if days and not least <= days <= DAYS_LIMIT:
        raise InvalidInput(f"{days} days: {name} are kept for {least} days or longer, or 0 for ever")
    return days
