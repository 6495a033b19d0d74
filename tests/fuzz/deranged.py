"""Derangement: values and texts that are nearly right, and some that are not at all."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from profiles import count


def examples(usual: int, nightly: int, *, slow: bool = False) -> settings:
    """The number of examples in a usual run, and in the profile `nightly`. `slow` ones are real calls: not shrunk."""
    return settings(
        max_examples=count(usual, nightly),
        deadline=None,
        phases=[Phase.explicit, Phase.generate] if slow else list(Phase),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    -(2**80),
    1e308,
    float("nan"),
    "",
    "\x00",
    "\ud800",
    "9" * 400,
    "2026-11-28T10:00:00.000+0000",
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59.999-2359",
    [],
    {},
    [[[[[[]]]]]],
    {"id": {"id": []}},
)


def value(dice: random.Random, original: Any) -> Any:
    """A JSON value with one or a few places deranged: a key gone, a value replaced, an item twice."""
    if dice.random() < 0.15:
        return dice.choice(JUNK)
    if isinstance(original, dict) and original:
        deranged = dict(original)
        for key in dice.sample(sorted(deranged), dice.randint(1, min(2, len(deranged)))):
            if dice.random() < 0.2:
                del deranged[key]
            else:
                deranged[key] = value(dice, deranged[key])
        return deranged
    if isinstance(original, list) and original:
        items = list(original)
        n = dice.randrange(len(items))
        items[n] = value(dice, items[n])
        return items * dice.choice((1, 1, 2))
    return dice.choice(JUNK)


def text(dice: random.Random, original: str) -> str:
    """A text cut off, doubled, or with something strange in it."""
    n = dice.randint(0, len(original))
    strange = dice.choice(
        ("\x00", "\ufeff", "\ud7ff", "}", "[", '"', "\\u", "\n", "é", ",,", "=", "'", "1" * 50)
    )
    return dice.choice(
        (original[:n], original[n:], original[:n] + strange + original[n:], original + original, strange * 3)
    )


def json_text(dice: random.Random, original: Any) -> str:
    """A message that was JSON once, or still is."""
    if dice.random() < 0.7:
        return json.dumps(value(dice, original))
    return text(dice, json.dumps(original))
