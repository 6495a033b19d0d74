"""Executes a repeated or concurrent request with the same key once; all repetitions get the first answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from stasis_callback.clock import Clock
from stasis_callback.store.intake.idempotency import IdempotencyKeys

WAIT_S, POLL_S = 10.0, 0.05
NOT_KEPT = (429, 503)
"""Answers that say "later": the same key may try again then."""


@dataclass(frozen=True, slots=True)
class StoredReply:
    """An answer that can be given again."""

    status: int
    body: dict[str, object]
    headers: dict[str, str] = field(default_factory=dict)


def once(
    keys: IdempotencyKeys,
    clock: Clock,
    key: str,
    input_hash: str,
    carry_out: Callable[[], StoredReply],
    *,
    keep_problems: bool = True,
) -> StoredReply:
    """The answer of `carry_out`, or the one that the same key got before. Without a key it is simply carried out.

    `input_hash` stands for the content, which is not to be found out from it (`Signer.fingerprint`).
    """
    if not key:
        return carry_out()
    key = hashlib.sha256(key.encode()).hexdigest()
    inbox, deadline_s = clock.inbox(), clock.monotonic_s() + WAIT_S
    while (known := keys.begin(key, input_hash)) is not None:
        if known.input_hash != input_hash:
            return _problem(422, "idempotency_key_reused")
        if known.answer is not None:
            return StoredReply(**json.loads(known.answer))
        if clock.monotonic_s() >= deadline_s:
            return _problem(409, "idempotency_key_in_use")
        inbox.get(POLL_S)
    try:
        reply = carry_out()
    except BaseException:
        keys.release(key)
        raise
    if reply.status in NOT_KEPT or (reply.status >= 400 and not keep_problems):
        keys.release(key)
    else:
        keys.answer(key, json.dumps(asdict(reply)))
    return reply


def _problem(status: int, code: str) -> StoredReply:
    return StoredReply(status, {"error": {"code": code, "message": MESSAGES[code], "fields": {}}})


MESSAGES = {
    "idempotency_key_reused": "This Idempotency-Key was used for another request: take a new one.",
    "idempotency_key_in_use": "A request with this Idempotency-Key is being worked on: try again in a moment.",
}
