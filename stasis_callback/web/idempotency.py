"""Executes a repeated or concurrent request with the same key once; all repetitions get the first answer.

The answers are kept for a day. What makes a callback happen once is not the kept answer but the key of its request,
which is made of the same key and stored in the transaction that queues it: so a death between that and the answer
does not make two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from stasis_callback.clock import Clock
from stasis_callback.store.intake.idempotency import IdempotencyKeys
from stasis_callback.web.problems import problem

WAIT_S, POLL_S = 10.0, 0.05
NOT_KEPT = (402, 409, 429, 503)
"""Answers that time or money changes: the same key may try again. Of wrong input and wrong logins it may not."""


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
    carry_out: Callable[[str], StoredReply],
    *,
    keep_problems: bool = True,
) -> StoredReply:
    """The answer of `carry_out`, or the one that the same key got before. Without a key it is simply carried out.

    `carry_out` is given the key of what it makes, "" for none, and must make nothing twice with the same one: it is
    called again if the process that took the key has died, and in parallel if it is slow. `input_hash` stands for the
    content, which is not to be found out from it (`Signer.fingerprint`).
    """
    if not key:
        return carry_out("")
    kept_as = hashlib.sha256(key.encode()).hexdigest()
    inbox, deadline_s = clock.inbox(), clock.monotonic_s() + WAIT_S
    while (known := keys.begin(kept_as, input_hash)) is not None:
        if known.input_hash != input_hash:
            return _reused()
        if known.answer is not None:
            return StoredReply(**json.loads(known.answer))
        if clock.monotonic_s() >= deadline_s:
            break
        inbox.get(POLL_S)
    try:
        # With the content in it: what somebody else chose the same key for is not theirs.
        reply = carry_out(hashlib.sha256(f"{key}\n{input_hash}".encode()).hexdigest()[:40])
    except BaseException:
        keys.release(kept_as)
        raise
    if reply.status in NOT_KEPT or (reply.status >= 400 and not keep_problems):
        keys.release(kept_as)
    else:
        keys.answer(kept_as, json.dumps(asdict(reply)))
    return reply


def _reused() -> StoredReply:
    detail = "This Idempotency-Key was used for another request: take a new one."
    return StoredReply(422, problem(422, "idempotency_key_reused", detail))
