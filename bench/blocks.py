"""The measuring: blocks of paced callbacks, of the service and of the floor in turn."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from bench.rig import ACCESS, Rig, Usage
from stasis_callback.clock import wait_until
from stasis_callback.testing.sip_trace import SipMessage

PACE_S = 1.0
TALK_S = 3.0
KEYED_AFTER_S = (
    5.5  # after the answer: the greeting (4.9 s) is over on both sides, the prompt for a number is not
)
SETTLED_S = 1.0


@dataclass
class Sample:
    """The service at one moment of a block."""

    live_calls: int
    usage: Usage


@dataclass
class Block:
    """Some callbacks in a row, one side's."""

    side: str
    anis: Sequence[str]
    completed: list[str] = field(default_factory=list)
    service_cpu_s: float = 0.0
    asterisk_cpu_s: float = 0.0
    samples: list[Sample] = field(default_factory=list)

    def per_callback(self, cpu_s: float) -> float:
        return cpu_s / len(self.completed) if self.completed else math.nan


def measure(rig: Rig, blocks: Sequence[Block], pace_s: float = PACE_S) -> None:
    """Run blocks at the same time, a callback of each every `pace_s` seconds, and fill them in; the processor time is
    that of all of them.
    """
    service, asterisk = rig.service(), rig.asterisk()
    with ThreadPoolExecutor(sum(len(block.anis) for block in blocks)) as crowd:
        futures: dict[Future[bool], tuple[Block, str]] = {}
        start_s = time.monotonic()
        for i in range(max(len(block.anis) for block in blocks)):
            time.sleep(max(0.0, start_s + i * pace_s - time.monotonic()))
            for block in blocks:
                live = sum(not future.done() for future in futures)
                block.samples.append(Sample(live, rig.service()))
                if i < len(block.anis):
                    ani = block.anis[i]
                    futures[crowd.submit(call_back, rig, ACCESS[block.side], ani)] = block, ani
    time.sleep(SETTLED_S)
    wait_until(lambda: not rig.stores.requests.left_open(), timeout_s=10)
    newest = rig.stores.requests.newest(limit=1000 + len(futures))
    outcomes = {request.ani: request.outcome for request in newest}
    for future, (block, ani) in futures.items():
        block.service_cpu_s = rig.service().cpu_s - service.cpu_s
        block.asterisk_cpu_s = rig.asterisk().cpu_s - asterisk.cpu_s
        booked = outcomes.get(ani) == "completed" or block.side == "floor"
        if future.result() and booked:
            block.completed.append(ani)
        else:
            print(f"not completed: {block.side} {ani} {outcomes.get(ani, '')}", file=sys.stderr)


def call_back(rig: Rig, access: str, ani: str) -> bool:
    """One missed call and the whole callback that follows; whether everything in it happened."""
    destination = f"442071{ani[5]}{ani[-5:]}"  # every phone is called once
    subscriber = rig.network.phone(ani).answers().dials(f"{destination}#", after_s=KEYED_AFTER_S)
    friend = rig.network.phone(destination).answers()
    try:
        refusal = rig.network.missed_call(ani=ani, dnis=access)
        friend.wait_for("answered", timeout_s=30)
        time.sleep(TALK_S)
        subscriber.hang_up()
        friend.wait_for("ended")
        subscriber.wait_for("ended")
    except AssertionError as why:
        print(why, file=sys.stderr)
        return False
    once = len(subscriber.calls) == len(friend.calls) == 1
    return once and (refusal.cause, refusal.answered) == (17, False)


@dataclass(frozen=True)
class Latency:
    """From the INVITE of a missed call to its final answer, and to the INVITE of the callback."""

    refusal_ms: float
    callback_ms: float


def latencies(trace: Sequence[SipMessage], block: Block) -> list[Latency]:
    """One for each completed callback of a block, from what went over the wire of the product's Asterisk."""
    # The first of each: later ones are sent again. A dict keeps the last, so it is filled from the end.
    backwards = list(reversed(trace))
    missed = {m.from_number: m for m in backwards if _is_invite(m) and not m.sent}
    callbacks = {m.to_number: m for m in backwards if _is_invite(m) and m.sent}
    finals = {m.call_id: m for m in backwards if m.sent and (m.status or 0) >= 200}
    found = []
    for ani in block.completed:
        at_us = missed[ani].at_us
        refusal_us, callback_us = finals[missed[ani].call_id].at_us - at_us, callbacks[ani].at_us - at_us
        found.append(Latency(refusal_us / 1000, callback_us / 1000))
    return found


def _is_invite(message: SipMessage) -> bool:
    return message.method == "INVITE" and message.status is None
