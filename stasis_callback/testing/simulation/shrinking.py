"""Reduces a failing plan while it still violates the same rule, so that it can be understood."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from .plan import Plan
from .runner import simulate


def kind_of(sentence: str) -> str:
    """The violated rule without times, ids and amounts, to compare violations."""
    words = re.sub(r"^[0-9.]+ s: ", "", sentence.splitlines()[0])
    return re.sub(r"\b[0-9a-f]{16}(-[ab][0-9.]+)?\b|[0-9]+(\.[0-9]+)*", "#", words)


def shrunk(plan: Plan) -> Plan:
    """The smallest plan found that still violates the same rule."""
    wanted = {kind_of(sentence) for sentence in simulate(plan).breaks}
    smaller: Plan | None = plan if wanted else None
    while smaller is not None:
        plan = smaller
        smaller = next((one for one in _without_something(plan) if _breaks(one, wanted)), None)
    return plan


def _breaks(plan: Plan, wanted: set[str]) -> bool:
    return bool(wanted & {kind_of(sentence) for sentence in simulate(plan).breaks})


def _without_something(plan: Plan) -> Iterator[Plan]:
    """Plans with one part less: a fault, an action, a callback, a step of a person."""
    if plan.entry_s:
        yield replace(plan, entry_s=0.0)
    for name in ("faults", "deeds", "asked"):
        things = getattr(plan, name)
        for n in range(len(things)):
            yield replace(plan, **{name: things[:n] + things[n + 1 :]})
    for n, subscriber in enumerate(plan.subscribers):
        for m, script in enumerate(subscriber.scripts):
            others = subscriber.scripts[:m] + subscriber.scripts[m + 1 :]
            if others:
                yield _with_subscriber(plan, n, scripts=others)
            for k in range(len(script.keys)):
                fewer = replace(script, keys=script.keys[:k] + script.keys[k + 1 :])
                scripts = (*subscriber.scripts[:m], fewer, *subscriber.scripts[m + 1 :])
                yield _with_subscriber(plan, n, scripts=scripts)


def _with_subscriber(plan: Plan, number: int, **changes: object) -> Plan:
    changed = replace(plan.subscribers[number], **changes)  # type: ignore[arg-type]
    return replace(plan, subscribers=(*plan.subscribers[:number], changed, *plan.subscribers[number + 1 :]))
