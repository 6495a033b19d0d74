"""Why no callback was made, and how one ended: every word there is, with its sentence for operators.

The words are an interface: the database, the log, the API and reports have them, so a word never changes.
docs/reference/words.md is made of what stands here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from stasis_callback.core.outcomes import Outcome


class _Word(StrEnum):
    """A word that operators read, with what they need to know about it. None can be written without."""

    sentence: str
    """What it means, as a part of a sentence: no capital, no full stop."""
    source: str
    """Where it comes from."""
    remedy: str
    """What an operator can do."""

    def __new__(cls, word: str, sentence: str, source: str, remedy: str) -> Self:
        """A member is its word, and compares and is stored as that."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence, member.source, member.remedy = sentence, source, remedy
        return member

    @classmethod
    def of(cls, stored: str) -> Self | None:
        """The word that was stored; None for one that this release does not know, and for ""."""
        return next((word for word in cls if word == stored), None)


_MISSED, _ASKED, _BOTH = "a missed call", "web, e-mail, shell", "a missed call; web, e-mail, shell"


class Refusal(_Word):
    """Why a request did not become a callback."""

    UNKNOWN_ACCESS_NUMBER = (
        "unknown_access_number", "the number called is no access number that is switched on", _MISSED,
        "compare `dnis` with `access-number list`",
    )  # fmt: skip
    NO_ANI = "no_ani", "the caller shows no number", _MISSED, "nothing: there is nobody to call"
    BAD_ANI = (
        "bad_ani", "what the caller shows is no telephone number", _MISSED,
        "look at `ani`: is `trust_id_inbound` right for this carrier?",
    )  # fmt: skip
    UNKNOWN_ACCOUNT = (
        "unknown_account", "no account has the number as its id or alias", _MISSED,
        "compare `ani` with the accounts: `access-number test`",
    )  # fmt: skip
    NO_ASSOCIATED_NUMBER = (
        "no_associated_number", "the account has no number to be called back on", "a missed call (DNIS)",
        "`account set ID --callback-number DIGITS`",
    )  # fmt: skip
    NO_INTERNAL_ACCOUNT = (
        "no_internal_account", "the account that is to pay for leg A does not exist", "a missed call (PIN)",
        "make that account, or set another `internal_account`",
    )  # fmt: skip
    BAD_CALLBACK_NUMBER = (
        "bad_callback_number", "the number to call first is none: write 3 to 15 digits, without 00", _BOTH,
        "give the account a callback number, or change the rules of the access number",
    )  # fmt: skip
    BAD_DESTINATION = (
        "bad_destination", "the second number is none: write 3 to 15 digits, without 00", _ASKED, "nothing",
    )  # fmt: skip
    SAME_NUMBER = "same_number", "both numbers are the same", _ASKED, "nothing"
    OWN_NUMBER = (
        "own_number", "the number to call first is an access number itself", _BOTH,
        "give the account another callback number",
    )  # fmt: skip
    OWN_DESTINATION = (
        "own_destination", "the second number is an access number itself", _ASKED, "nothing",
    )  # fmt: skip
    DESTINATION_NOT_IN_TARIFF = (
        "destination_not_in_tariff", "the account's tariff has no rate for the number to call first", _BOTH,
        "`rate explain NUMBER --account ID --seconds 60`",
    )  # fmt: skip
    DESTINATION_NOT_ALLOWED = (
        "destination_not_allowed", "the account's tariff has no rate for the second number", _ASKED,
        "`rate explain NUMBER --account ID --seconds 60`",
    )  # fmt: skip
    WRONG_LOGIN = (
        "wrong_login", "there is no such account, or the password or the code is wrong", _ASKED,
        "many of them are somebody who guesses: see the limits of the instance",
    )  # fmt: skip
    LOCKED_OUT = (
        "locked_out", "there were too many wrong logins", _BOTH,
        "wait; after wrong PINs `access-number unlock` ends it",
    )  # fmt: skip
    TOO_MANY_REQUESTS = (
        "too_many_requests", "there were too many requests", _ASKED,
        "wait, or change the limits of the instance",
    )  # fmt: skip
    ACCOUNT_BLOCKED = "account_blocked", "the account is not active", _BOTH, "`account show ID`"
    ACCOUNT_EXPIRED = "account_expired", "the account has expired", _BOTH, "`account show ID`"
    NO_FUNDS = (
        "no_funds", "the account cannot pay for the first interval of both legs", _BOTH,
        "top up; for a missed call only leg A is counted",
    )  # fmt: skip
    DAILY_LIMIT = (
        "daily_limit", "the account has spent what it may spend in a day", _BOTH,
        "`account set ID --daily-cap`",
    )  # fmt: skip
    REPEATED = (
        "repeated", "a callback of this account or number was asked for a moment ago (dedupe_window_s)",
        _BOTH, "nothing",
    )  # fmt: skip
    IN_PROGRESS = (
        "in_progress", "a callback of this account or number waits or is under way", _BOTH,
        "nothing, or `account set ID --simultaneous-calls`",
    )  # fmt: skip
    QUEUE_FULL = (
        "queue_full", "too many callbacks wait (limits.queue)", _BOTH,
        "see why the queue is not worked off: `limits.live_calls`, the trunks' capacity",
    )  # fmt: skip
    FAILED = "failed", "there was a fault", _MISSED, "the log has it: `request.failed`"


_BEFORE, _LEG_A, _TALK = "before leg A is dialled", "leg A", "the conversation"


class Ending(_Word):
    """How a callback ended that was accepted; of one that waits, how its last attempt did."""

    COMPLETED = "completed", "the two have talked", _TALK, "nothing"
    HUNG_UP = "hung_up", "the subscriber hung up before any talk", _TALK, "nothing"
    NOT_ACCEPTED = (
        "not_accepted", "whoever answered did not press 1", _TALK,
        "nothing: it may have been a voicemail (`press_one`)",
    )  # fmt: skip
    LOGIN_FAILED = (
        "login_failed",
        "nobody logged in with a PIN",
        _TALK,
        "`access-number unlock`, if it was they",
    )
    LOW_BALANCE = (
        "low_balance", "the account has less than a conversation may begin with", _TALK,
        "top up, or change `low_balance_amount`",
    )  # fmt: skip
    NO_DESTINATION = "no_destination", "no other number was reached", _TALK, "the log: `destination.refused`"
    INTERRUPTED = "interrupted", "a restart has cut it off", "recovery; a dead node's calls", "`node list`"
    CANCELLED = "cancelled", "it was taken back while it was under way", _LEG_A, "nothing"
    TOO_LATE = (
        "too_late", "it could not be begun within start_within_s", _BEFORE,
        "see why the queue is not worked off: `limits.live_calls`, the trunks' capacity",
    )  # fmt: skip
    NO_ROUTE = "no_route", "no trunk may carry leg A", _BEFORE, "`route explain NUMBER`"
    DESTINATION_NOT_IN_TARIFF = (
        "destination_not_in_tariff", "the tariff has no rate for leg A any more", _BEFORE,
        "`rate explain NUMBER --account ID --seconds 60`",
    )  # fmt: skip
    ACCOUNT_BLOCKED = "account_blocked", "the account is no longer active", _BEFORE, "`account show ID`"
    ACCOUNT_EXPIRED = "account_expired", "the account has expired since", _BEFORE, "`account show ID`"
    NO_FUNDS = "no_funds", "the account can no longer pay for leg A", _BEFORE, "top up"
    DAILY_LIMIT = (
        "daily_limit", "the account has spent what it may spend in a day", _BEFORE,
        "`account set ID --daily-cap`",
    )  # fmt: skip
    BUSY = "busy", "leg A was busy", _LEG_A, "nothing, or `attempts_busy`"
    NO_ANSWER = "no_answer", "leg A did not answer", _LEG_A, "nothing, or `attempts_no_answer`"
    CONGESTION = (
        "congestion", "the network or every trunk was full", _LEG_A, "`trunk list`, or `attempts_congestion`",
    )  # fmt: skip
    REJECTED = "rejected", "leg A was refused", _LEG_A, "look at the call record's cause: `xdr list`"
    UNALLOCATED = "unallocated", "the number of leg A does not exist", _LEG_A, "correct the number"
    NOT_DIALED = "not_dialed", "leg A never reached the network", "recovery", "nothing"
    FAILED = (
        "failed",
        "there was a fault, or the carrier had one",
        _LEG_A,
        "the log: `call.crashed`, `leg.settled`",
    )

    @classmethod
    def of_leg(cls, outcome: Outcome) -> Ending:
        """A callback that ends with the end of its leg A. One that was answered was cut off in the conversation."""
        return cls.INTERRUPTED if outcome is Outcome.ANSWERED else cls[outcome.name]

    @classmethod
    def of_trouble(cls, trouble: Trouble) -> Ending:
        """What would have refused a callback has come true by the time of dialling."""
        return cls[trouble.name]


Objection = Refusal | Literal[""]
"""Why something may not be; "" when nothing speaks against it, as the table of requests has it."""
AccountTrouble = Literal[Refusal.ACCOUNT_BLOCKED, Refusal.ACCOUNT_EXPIRED]
FundsTrouble = Literal[Refusal.NO_FUNDS, Refusal.DAILY_LIMIT]
Trouble = AccountTrouble | FundsTrouble
"""What may come true between the acceptance and the dialling."""
