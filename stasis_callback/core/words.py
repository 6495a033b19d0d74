"""The codes for refusals and endings of callbacks, for dropped mails and skipped trunks, explained to operators.

Codes are a public interface, used by the database, the log, the API and reports, so they never change.
docs/reference/words.md is generated from this module.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from stasis_callback.core.outcomes import Outcome


class _Word(StrEnum):
    """A code with its explanation for operators."""

    sentence: str
    """Its meaning, without a capital letter and a full stop."""
    source: str
    """Where it arises."""
    remedy: str
    """What the operator can do."""

    def __new__(cls, word: str, sentence: str, source: str, remedy: str) -> Self:
        """A member equals its code, and is stored as that."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence, member.source, member.remedy = sentence, source, remedy
        return member

    @classmethod
    def of(cls, stored: str) -> Self | None:
        """The member of a stored code; None for an unknown code and for ""."""
        return next((word for word in cls if word == stored), None)


_MISSED, _ASKED = "missed call", "web, e-mail, message, shell"
_BOTH = f"{_MISSED}; {_ASKED}"


class Refusal(_Word):
    """Why a request did not become a callback."""

    UNKNOWN_ACCESS_NUMBER = (
        "unknown_access_number", "the called number is not an enabled access number", _MISSED,
        "compare `dnis` with `access-number list`; `trunk test`",
    )  # fmt: skip
    NO_ANI = "no_ani", "the caller's number is withheld", _MISSED, "nothing: there is no number to call back"
    BAD_ANI = (
        "bad_ani", "the caller id is not a phone number", _MISSED,
        "`trunk test`; whether `trust_id_inbound` and `identity` are right for this carrier",
    )  # fmt: skip
    UNKNOWN_ACCOUNT = (
        "unknown_account", "no account has this number as its id or alias", _MISSED,
        "compare `ani` with the accounts, see `access-number test`",
    )  # fmt: skip
    NOT_ATTESTED = (
        "not_attested", "the carriers do not vouch for the caller's number as `min_attestation` asks for",
        "missed call (ANI)", "nothing; or `access-number set`, where the carrier passes no attestation",
    )  # fmt: skip
    NO_ASSOCIATED_NUMBER = (
        "no_associated_number", "the account has no number to call back", "missed call (DNIS)",
        "`account set ID --callback-number DIGITS`",
    )  # fmt: skip
    NO_INTERNAL_ACCOUNT = (
        "no_internal_account", "the account that pays for leg A does not exist", "missed call (PIN)",
        "add that account, or set another `internal_account`",
    )  # fmt: skip
    BAD_CALLBACK_NUMBER = (
        "bad_callback_number", "the number to call first is not a valid phone number",
        _BOTH,
        "give the account a callback number, or change the rules of the access number",
    )  # fmt: skip
    BAD_DESTINATION = (
        "bad_destination", "the second number is not a valid phone number", _ASKED,
        "nothing",
    )  # fmt: skip
    EMERGENCY_NUMBER = (
        "emergency_number", "the number to call first is an emergency number, which is never called back", _BOTH,
        "none: in an emergency, callers must dial it themselves",
    )  # fmt: skip
    EMERGENCY_DESTINATION = (
        "emergency_destination", "the second number is an emergency number, which is never called", _ASKED,
        "none: in an emergency, callers must dial it themselves",
    )  # fmt: skip
    SAME_NUMBER = "same_number", "both numbers are the same", _ASKED, "nothing"
    OWN_NUMBER = (
        "own_number", "the number to call first is itself an access number", _BOTH,
        "give the account another callback number",
    )  # fmt: skip
    OWN_DESTINATION = (
        "own_destination", "the second number is itself an access number", _ASKED, "nothing",
    )  # fmt: skip
    DESTINATION_NOT_IN_TARIFF = (
        "destination_not_in_tariff", "the account's tariff does not sell calls to the number to call first", _BOTH,
        "`rate explain NUMBER --account ID --seconds 60`",
    )  # fmt: skip
    DESTINATION_NOT_ALLOWED = (
        "destination_not_allowed", "the account's tariff does not sell calls to the second number", _ASKED,
        "`rate explain NUMBER --account ID --seconds 60`",
    )  # fmt: skip
    WRONG_LOGIN = (
        "wrong_login", "unknown account, or wrong password or code", _ASKED,
        "many of them indicate password guessing: see the limits of the instance",
    )  # fmt: skip
    LOCKED_OUT = (
        "locked_out", "too many failed logins", _BOTH,
        "wait; after wrong PINs, `access-number unlock` ends the lockout",
    )  # fmt: skip
    TOO_MANY_REQUESTS = (
        "too_many_requests", "too many requests", _ASKED,
        "wait, or change the limits of the instance",
    )  # fmt: skip
    ACCOUNT_BLOCKED = "account_blocked", "the account is not active", _BOTH, "`account show ID`"
    ACCOUNT_EXPIRED = "account_expired", "the account has expired", _BOTH, "`account show ID`"
    NO_FUNDS = (
        "no_funds", "insufficient funds for the first interval of both legs", _BOTH,
        "top up the account; for a missed call only leg A counts",
    )  # fmt: skip
    DAILY_LIMIT = (
        "daily_limit", "the account has reached its daily cap", _BOTH,
        "`account set ID --daily-cap`",
    )  # fmt: skip
    REPEATED = (
        "repeated", "a callback for this account or number was requested a moment ago (dedupe_window_s)",
        _BOTH, "nothing",
    )  # fmt: skip
    IN_PROGRESS = (
        "in_progress", "a callback for this account or number is queued or live", _BOTH,
        "nothing, or `account set ID --simultaneous-calls`",
    )  # fmt: skip
    QUEUE_FULL = (
        "queue_full", "too many callbacks are queued (limits.queue)", _BOTH,
        "check why the queue grows: `limits.live_calls`, capacity of the trunks",
    )  # fmt: skip
    LINK_USED_UP = (
        "link_used_up", "the signed link has made as many callbacks, or cost as much, as it may", "web (hosted)",
        "nothing, or a new `web link`",
    )  # fmt: skip
    OPTED_OUT = (
        "opted_out", "the owner of the number to call first does not want such calls", "web, e-mail, message",
        "nothing; `opt-out list`",
    )  # fmt: skip
    SET_ASIDE = (
        "set_aside", "the caller, account, number, link, source or destination is set aside by the fraud control",
        _BOTH,
        "`fraud list` says why; `fraud release`, or greater budgets in `[fraud]`",
    )  # fmt: skip
    NEVER_CALLED = (
        "never_called", "a number to call is on the list of numbers that are never called", _BOTH,
        "nothing; `never-call list`",
    )  # fmt: skip
    FAILED = "failed", "internal error", _MISSED, "see `request.failed` in the log"


_BEFORE, _LEG_A, _TALK = "before leg A is dialled", "leg A", "the conversation"


class Ending(_Word):
    """How an accepted callback ended; for a queued one, how its last attempt ended."""

    COMPLETED = "completed", "the two parties were connected", _TALK, "nothing"
    HUNG_UP = "hung_up", "the subscriber hung up before being connected", _TALK, "nothing"
    NOT_ACCEPTED = (
        "not_accepted", "a machine answered, or nobody pressed 1", _TALK,
        "nothing: it may have been a voicemail (`answer_check`)",
    )  # fmt: skip
    LOGIN_FAILED = (
        "login_failed",
        "no valid PIN was entered",
        _TALK,
        "`access-number unlock`, if it was the subscriber",
    )
    LOW_BALANCE = (
        "low_balance", "the funds are below the low balance threshold", _TALK,
        "top up the account, or change `low_balance_amount`",
    )  # fmt: skip
    NO_DESTINATION = (
        "no_destination",
        "no destination was reached",
        _TALK,
        "see `destination.refused` in the log",
    )
    INTERRUPTED = (
        "interrupted",
        "a restart or crash interrupted it",
        "recovery; takeover of a dead node",
        "`node list`",
    )
    CANCELLED = "cancelled", "it was cancelled while it was live", _LEG_A, "nothing"
    TOO_LATE = (
        "too_late", "it could not be started within start_within_s", _BEFORE,
        "check why the queue grows: `limits.live_calls`, capacity of the trunks",
    )  # fmt: skip
    NO_ROUTE = "no_route", "no trunk is available for leg A", _BEFORE, "`route explain NUMBER`"
    DESTINATION_NOT_IN_TARIFF = (
        "destination_not_in_tariff", "the tariff no longer sells calls to the number of leg A", _BEFORE,
        "`rate explain NUMBER --account ID --seconds 60`",
    )  # fmt: skip
    EMERGENCY_NUMBER = (
        "emergency_number", "leg A's number is an emergency number, which is never called back", _BEFORE,
        "give the account another callback number",
    )  # fmt: skip
    ACCOUNT_BLOCKED = "account_blocked", "the account is no longer active", _BEFORE, "`account show ID`"
    ACCOUNT_EXPIRED = (
        "account_expired",
        "the account has expired in the meantime",
        _BEFORE,
        "`account show ID`",
    )
    NO_FUNDS = "no_funds", "insufficient funds for leg A", _BEFORE, "top up the account"
    DAILY_LIMIT = (
        "daily_limit", "the account has reached its daily cap", _BEFORE,
        "`account set ID --daily-cap`",
    )  # fmt: skip
    SET_ASIDE = (
        "set_aside", "the account, number or destination was set aside by the fraud control", _BEFORE,
        "`fraud list` says why; `fraud release`, or greater budgets in `[fraud]`",
    )  # fmt: skip
    NEVER_CALLED = (
        "never_called", "leg A's number is on the list of numbers that are never called", _BEFORE,
        "nothing; `never-call list`",
    )  # fmt: skip
    BUSY = "busy", "leg A was busy", _LEG_A, "nothing, or `attempts_busy`"
    NO_ANSWER = "no_answer", "leg A did not answer", _LEG_A, "nothing, or `attempts_no_answer`"
    CONGESTION = (
        "congestion", "the network or all trunks were congested", _LEG_A, "`trunk list`, or `attempts_congestion`",
    )  # fmt: skip
    REJECTED = "rejected", "leg A was rejected", _LEG_A, "see the cause in the call record: `xdr list`"
    UNALLOCATED = "unallocated", "the number of leg A does not exist", _LEG_A, "correct the number"
    NOT_DIALED = "not_dialed", "leg A never reached the network", "recovery", "nothing"
    FAILED = (
        "failed",
        "internal error, or a failure of the carrier",
        _LEG_A,
        "see `call.crashed`, `call.unreadable` and `leg.settled` in the log",
    )

    @classmethod
    def of_leg(cls, outcome: Outcome) -> Ending:
        """The ending of a callback whose leg A has ended. If it was answered, the conversation was interrupted."""
        return cls.INTERRUPTED if outcome is Outcome.ANSWERED else cls[outcome.name]

    @classmethod
    def of_trouble(cls, trouble: Trouble) -> Ending:
        """The ending for a reason to refuse that arose between acceptance and dialling."""
        return cls[trouble.name]


_SENDER, _COMMAND, _MAIL = "its sender", "its command", "the mail as a whole"
_COMMAND_FORMAT = "the sender can look up the format: docs/reference/email-command.md"
_NEVER = "nothing: no mail program sends such mails"


class Dropped(_Word):
    """Why a mail or a message was not passed on as a request."""

    NOT_PROVEN = (
        "not_proven", "the sender is not authenticated", _SENDER,
        "check `email.authserv_id`, the milter, and the headers of a mail",
    )  # fmt: skip
    BAD_SENDER = (
        "bad_sender", "no sender, several, or an invalid one; or a header twice that may be there once", _SENDER,
        "nothing",
    )  # fmt: skip
    UNKNOWN_SENDER = (
        "unknown_sender", "a message from a number that is no account's id or alias", _SENDER,
        "`account set ID --alias NUMBER`, if it is a subscriber",
    )  # fmt: skip
    AUTOMATIC = "automatic", "a bounce, an automatic reply, or a mail of a mailing list", _SENDER, "nothing"
    NO_COMMAND = "no_command", "there is no command in it", _COMMAND, _COMMAND_FORMAT
    SEVERAL_COMMANDS = "several_commands", "there are two different commands in it", _COMMAND, _COMMAND_FORMAT
    MALFORMED = (
        "malformed", "it has the beginning of a command only, or a number may be cut off", _COMMAND, _COMMAND_FORMAT,
    )  # fmt: skip
    BAD_VOUCHER = (
        "bad_voucher", "the code of its voucher is unknown, used, blocked, expired or in another currency", _COMMAND,
        "`voucher list`, if it was the subscriber",
    )  # fmt: skip
    BAD_TIME = (
        "bad_time", "its time is not within the next 24 hours", _COMMAND, "nothing; `time_zone` of the instance",
    )  # fmt: skip
    NO_TIMES = (
        "no_times", "it has a time, and the instance takes none", _COMMAND, "`call_me_at=on`, if it is to take times",
    )  # fmt: skip
    CLOSED = (
        "closed", "it wants a call outside the opening hours", _COMMAND, "nothing; `opening_hours` of the instance",
    )  # fmt: skip
    TOO_LONG = "too_long", "its text is too long to be searched for a command", _COMMAND, _COMMAND_FORMAT
    TOO_LARGE = (
        "too_large", "it is larger than 2 MB, or than `email.size_limit_bytes`", _MAIL,
        "lower the limit of the mail server, so that the sender is told",
    )  # fmt: skip
    TOO_MANY_PARTS = "too_many_parts", "it has too many parts", _MAIL, _NEVER
    TOO_MANY_HEADERS = "too_many_headers", "it has too many headers", _MAIL, _NEVER
    LONG_LINE = "long_line", "it has a line that is too long", _MAIL, _NEVER
    BARE_LINE_END = "bare_line_end", "it has a CR or LF that stands alone", _MAIL, _NEVER
    NUL = "nul", "it contains a NUL", _MAIL, _NEVER
    BROKEN = "broken", "it cannot be parsed", _MAIL, _NEVER


class Skipped(_Word):
    """Why a trunk is not tried for a call."""

    DISABLED = "disabled", "the trunk is disabled", "the trunk", "`trunk enable NAME`"
    NO_ROUTE = "no_route", "none of the trunk's routes matches the number", "its routes", "`route list`"
    NO_RATE = (
        "no_rate", "the trunk's tariff has no rate for the number, so its cost is unknown", "its tariff",
        "`rate explain`; import the carrier's rates",
    )  # fmt: skip
    NUMBER_RULES = (
        "number_rules", "the trunk's number form leaves nothing of the number that can be dialled", "its number form",
        "`trunk test`, and correct the trunk's rules",
    )  # fmt: skip
    BELOW_COST = (
        "below_cost", "the call would cost more than the subscriber pays, or leave too small a margin",
        "`margin_guard`", "raise the rate, or see `margin_guard` and `min_margin_percent`",
    )  # fmt: skip
    OTHER_CURRENCY = (
        "other_currency", "the trunk's tariff has another currency, so its margin is unknown", "`margin_guard`",
        "see `margin_guard`",
    )  # fmt: skip


Objection = Refusal | Literal[""]
"""A reason to refuse, or "" for none."""
AccountTrouble = Literal[Refusal.ACCOUNT_BLOCKED, Refusal.ACCOUNT_EXPIRED]
NumberTrouble = Literal[
    Refusal.EMERGENCY_NUMBER,
    Refusal.BAD_CALLBACK_NUMBER,
    Refusal.DESTINATION_NOT_IN_TARIFF,
    Refusal.OWN_NUMBER,
]
FundsTrouble = Literal[Refusal.NO_FUNDS, Refusal.DAILY_LIMIT]
FraudTrouble = Literal[Refusal.SET_ASIDE, Refusal.NEVER_CALLED]
Trouble = AccountTrouble | FundsTrouble | FraudTrouble
"""Reasons that may arise between acceptance and dialling."""
