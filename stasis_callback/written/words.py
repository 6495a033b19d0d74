"""The words of replies to commands: constant, in the language of the account or of the instance."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import get_args

from stasis_callback.core.mail_command import Command, MailCommand, Problem, VoucherCommand
from stasis_callback.core.numbers import mask
from stasis_callback.core.opening import on_the_clock
from stasis_callback.core.words import Dropped, Ending, Refusal
from stasis_callback.core.written import WrittenOptions

FOLDER = Path(__file__).parent / "texts"
LANGUAGES = ("en", "es", "fr", "it", "ru")

TEXT_OF_REFUSAL: Mapping[Refusal, str] = {
    Refusal.REPEATED: Refusal.REPEATED,
    Refusal.IN_PROGRESS: Refusal.IN_PROGRESS,
    Refusal.QUEUE_FULL: Refusal.QUEUE_FULL,
    Refusal.WRONG_LOGIN: Refusal.WRONG_LOGIN,
    Refusal.OPTED_OUT: "number",
    Refusal.NEVER_CALLED: "destination",
    Refusal.SET_ASIDE: "set_aside",
    Refusal.TOO_MANY_REQUESTS: "wait",
    Refusal.LOCKED_OUT: "wait",
    Refusal.BAD_CALLBACK_NUMBER: "number",
    Refusal.OWN_NUMBER: "number",
    Refusal.DESTINATION_NOT_IN_TARIFF: "number",
    Refusal.EMERGENCY_NUMBER: "emergency",
    Refusal.EMERGENCY_DESTINATION: "emergency",
    Refusal.BAD_DESTINATION: "destination",
    Refusal.SAME_NUMBER: "destination",
    Refusal.OWN_DESTINATION: "destination",
    Refusal.DESTINATION_NOT_ALLOWED: "destination",
    Refusal.NO_FUNDS: "funds",
    Refusal.DAILY_LIMIT: "funds",
    Refusal.ACCOUNT_BLOCKED: "account",
    Refusal.ACCOUNT_EXPIRED: "account",
    # Of forms and missed calls only: nothing written is answered with one of these.
    Refusal.LINK_USED_UP: "account",
    Refusal.UNKNOWN_ACCESS_NUMBER: "account",
    Refusal.NO_ANI: "account",
    Refusal.BAD_ANI: "account",
    Refusal.UNKNOWN_ACCOUNT: "account",
    Refusal.NOT_ATTESTED: "account",
    Refusal.NO_ASSOCIATED_NUMBER: "account",
    Refusal.NO_INTERNAL_ACCOUNT: "account",
    Refusal.FAILED: "account",
}
"""The text for each refusal."""
_TOLD = (Dropped.BAD_VOUCHER, Dropped.BAD_TIME, Dropped.NO_TIMES, Dropped.CLOSED)
TEXT_OF: Mapping[str, str] = {
    "": "accepted",
    "redeemed": "redeemed",
    "accepted_at": "accepted_at",
    **{dropped.value: dropped.value for dropped in _TOLD},
    **dict.fromkeys(get_args(Problem), "unreadable"),  # the sender of any other is not answered
    **{refusal.value: text for refusal, text in TEXT_OF_REFUSAL.items()},
}
"""The text for each outcome of a command; any other, of an older release too, has to do with the account."""

TEXT_OF_ENDING: Mapping[Ending, str] = {
    Ending.COMPLETED: "ended_connected",
    Ending.HUNG_UP: "ended_hung_up",
    Ending.NOT_ACCEPTED: "ended_hung_up",
    Ending.LOGIN_FAILED: "ended_failed",
    Ending.LOW_BALANCE: "funds",
    Ending.NO_DESTINATION: "ended_other",
    Ending.INTERRUPTED: "ended_failed",
    Ending.CANCELLED: "ended_cancelled",
    Ending.TOO_LATE: "ended_failed",
    Ending.NO_ROUTE: "ended_failed",
    Ending.DESTINATION_NOT_IN_TARIFF: "number",
    Ending.EMERGENCY_NUMBER: "emergency",
    Ending.ACCOUNT_BLOCKED: "account",
    Ending.ACCOUNT_EXPIRED: "account",
    Ending.NO_FUNDS: "funds",
    Ending.DAILY_LIMIT: "funds",
    Ending.SET_ASIDE: "set_aside",
    Ending.NEVER_CALLED: "number",
    Ending.BUSY: "ended_not_reached",
    Ending.NO_ANSWER: "ended_not_reached",
    Ending.CONGESTION: "ended_not_reached",
    Ending.REJECTED: "ended_not_reached",
    Ending.UNALLOCATED: "ended_not_reached",
    Ending.NOT_DIALED: "ended_failed",
    Ending.FAILED: "ended_failed",
}
"""The text for each ending of a callback."""


def answer_text(language: str, reason: str, number_a: str, time: str = "") -> str:
    """The sentence for an outcome. The number is masked: a reply is read by many."""
    return texts(language)[TEXT_OF.get(reason, "account")].format(number=mask(number_a), time=time)


def reply_text(
    language: str, settings: WrittenOptions, command: Command | None, reason: str, at_us: int | None
) -> str:
    """The sentence in answer to a command: `reason` is "" when it was carried out; `at_us` is when its callback is
    made, or calls are made again.
    """
    number = command.number_a if isinstance(command, MailCommand) else ""
    if not reason and isinstance(command, VoucherCommand):
        reason = "redeemed"
    elif not reason and at_us is not None:
        reason = "accepted_at"
    time = "" if at_us is None else on_the_clock(at_us, settings.time_zone)
    return answer_text(language, reason, number, time)


def ending_text(language: str, ending: Ending | None) -> str:
    """What became of a callback, in a sentence."""
    return texts(language)[TEXT_OF_ENDING[ending] if ending else "ended_cancelled"]


@cache
def texts(language: str) -> dict[str, str]:
    """All of them, in a language; in English where it has none."""
    language = language if language in LANGUAGES else "en"
    return tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
