"""What a carrier's final answer to an outgoing leg means: who speaks, and whether another trunk may do better.

A SIP status may speak of the called party (486), of the number (484), of the carrier itself (503) or of
us (403). Carriers differ, so each trunk may say what an answer means there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.outcomes import Outcome


class Meaning(StrEnum):
    """What an answer means. The codes are those of `trunk set --answers`."""

    BUSY = "busy"
    NO_ANSWER = "no_answer"
    DECLINED = "declined"
    UNWANTED = "unwanted"
    """The called party, or analytics in its name, wants none of our calls (RFC 8197, RFC 8688)."""
    INVALID = "invalid"
    UNKNOWN_NUMBER = "unknown_number"
    """The number does not exist, or the carrier does not know us: one further trunk is asked."""
    CARRIER = "carrier"
    """The carrier cannot carry the call."""
    REFUSES_US = "refuses_us"
    """The carrier does not accept our login, caller id or number of calls."""

    @property
    def fails_over(self) -> bool:
        """Whether it is the trunk that failed, so that another one may do better."""
        return self in (Meaning.CARRIER, Meaning.REFUSES_US)

    def outcome(self, cause: int) -> Outcome:
        """The outcome for the call record of a leg that ended so, with this Q.850 cause."""
        return _OUTCOMES.get(self) or _OUTCOME_OF_CARRIER.get(cause, Outcome.FAILED)


Answers = Mapping[int, Meaning]
"""What SIP statuses mean on one trunk, where that differs from the usual."""
USUAL: Answers = MappingProxyType({})

_M = Meaning
_BY_STATUS: Answers = {
    **dict.fromkeys((486, 600), _M.BUSY),
    480: _M.NO_ANSWER,
    603: _M.DECLINED,
    **dict.fromkeys((607, 608), _M.UNWANTED),
    **dict.fromkeys((410, 484, 485, 604), _M.INVALID),
    404: _M.UNKNOWN_NUMBER,
    # 428, 436, 437, 438: our caller id is not signed as the carrier wants it (RFC 8224).
    **dict.fromkeys((401, 403, 407, 428, 436, 437, 438), _M.REFUSES_US),
}
_REDIRECTS = range(300, 400)
"""A redirect is never followed."""

# Q.850 causes as Asterisk 22 reports them where there is no SIP status. 0 comes from a leg that was never up on older
# versions, 23 from a redirect.
_BY_CAUSE: Mapping[int, Meaning] = {
    **dict.fromkeys((0, 19, 20), _M.NO_ANSWER),
    17: _M.BUSY,
    **dict.fromkeys((21, 23, 52, 54), _M.DECLINED),
    1: _M.UNKNOWN_NUMBER,
    **dict.fromkeys((22, 28), _M.INVALID),
}
_NO_USER_RESPONDING = 18
_CONGESTED = frozenset((34, 38, 41, 42, 44, 47))
"""No circuit, network out of order, temporary failure, congestion, channel not available, no resource."""
_NO_ROUTE_TO_DESTINATION = 3
MEDIA_STOPPED = 44
"""How Asterisk ends a leg from which no sound has come for `rtp_timeout` seconds."""

_OUTCOMES = {
    _M.BUSY: Outcome.BUSY,
    _M.NO_ANSWER: Outcome.NO_ANSWER,
    _M.DECLINED: Outcome.REJECTED,
    _M.UNWANTED: Outcome.REJECTED,
    _M.INVALID: Outcome.UNALLOCATED,
    _M.UNKNOWN_NUMBER: Outcome.UNALLOCATED,
    _M.REFUSES_US: Outcome.FAILED,  # the word of the carrier: the called party has rejected nothing
}
_OUTCOME_OF_CARRIER = dict.fromkeys((*_CONGESTED, _NO_ROUTE_TO_DESTINATION, 27), Outcome.CONGESTION)


def meaning(
    cause: int, sip_status: int | None = None, *, progressed: bool = True, answers: Answers = USUAL
) -> Meaning:
    """What the end of an unanswered leg means, from the Q.850 cause and the final SIP status of ChannelDestroyed.

    A Q.850 cause that the carrier sent along (`Reason`) counts where it says more than the status. `progressed`:
    somebody was ringing, or an announcement was heard. `answers` are the trunk's own meanings, which go first.
    """
    if sip_status is None:
        return _by_cause(cause, progressed)
    if sip_status in answers:
        return answers[sip_status]
    if sip_status in (404, 480) and cause in _CONGESTED:
        return _M.CARRIER
    if sip_status == 404 and cause == _NO_ROUTE_TO_DESTINATION:
        return _M.CARRIER
    if sip_status == 408:
        return _M.NO_ANSWER if progressed else _M.CARRIER
    if sip_status in _REDIRECTS:
        return _M.DECLINED
    return _BY_STATUS.get(sip_status, _M.CARRIER)


def _by_cause(cause: int, progressed: bool) -> Meaning:
    if cause == _NO_USER_RESPONDING or (cause == MEDIA_STOPPED and progressed):
        return _M.NO_ANSWER if progressed else _M.CARRIER
    return _BY_CAUSE.get(cause, _M.CARRIER)


# --- as text ----------------------------------------------------------------------------------------------------

_ANSWER = re.compile(r"([3-6][0-9]{2})=([a-z_]+)", re.ASCII)


def parse_answers(text: str) -> Answers:
    """`404=carrier;480=carrier` as a mapping; "" is nothing. Raises InvalidInput."""
    found: dict[int, Meaning] = {}
    for item in filter(None, (item.strip() for item in text.split(";"))):
        parts = _ANSWER.fullmatch(item)
        if parts is None or parts[2] not in list(Meaning):
            raise InvalidInput(
                f"{item!r} is not an answer: write STATUS=MEANING, for example 404=carrier, "
                f"with one of {', '.join(Meaning)}"
            )
        found[int(parts[1])] = Meaning(parts[2])
    return found


def format_answers(answers: Answers) -> str:
    """The text that `parse_answers` reads, in order."""
    return ";".join(f"{status}={answers[status]}" for status in sorted(answers))
