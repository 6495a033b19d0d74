"""People who behave like people: they answer or do not, hang up in the middle of a prompt, key what does not exist.

`Crowd` writes a script for each pair of phones from one seed. Every script ends by itself within seconds.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from world import World

from stasis_callback.testing.phones import BUSY, CONGESTION, DECLINED, Phone

QUICK = {
    "announce_balance": "off",
    "announce_duration": "off",
    "ring_timeout_a_s": "5",
    "ring_timeout_b_s": "5",
    "first_digit_timeout_s": "3",
    "inter_digit_timeout_s": "1",
    "retry_interval_s": "0.5",
    "dedupe_window_s": "0",
}
"""Options of an access number under which a callback takes seconds."""


@dataclass(frozen=True)
class Pair:
    """A subscriber and the friend that they call."""

    number: str
    friend: str


class Crowd:
    """Pairs of phones with accounts. At half the `pace` they take twice as long for everything."""

    def __init__(
        self, world: World, seed: int, count: int, *, pace: float = 1.0, funds: str = "10.00"
    ) -> None:
        self._world = world
        self._pace = pace
        self._dice = random.Random(seed)
        self.pairs = [Pair(f"420777{n:06d}", f"4420794{n:05d}") for n in range(count)]
        for pair in self.pairs:
            world.account(pair.number, funds=funds)
            self.script(pair)

    def again(self, seed: int) -> None:
        """Change how all of them behave."""
        self._dice.seed(seed)
        for pair in self.pairs:
            self.script(pair)

    def script(self, pair: Pair) -> None:
        """Draw what the two do in the next calls."""
        self._subscriber(self._world.phone(pair.number).forget(), pair.friend)
        self._friend(self._world.phone(pair.friend).forget())

    def _some(self, least_s: float, most_s: float) -> float:
        return self._dice.uniform(least_s, most_s) / self._pace

    def _subscriber(self, phone: Phone, friend: str) -> None:
        dice = self._dice
        how = dice.choices(
            ("talks", "twice", "stars", "leaves early", "keys nonsense", "busy", "never"),
            (10, 3, 2, 3, 2, 1, 1),
        )[0]
        if how == "busy":
            phone.refuses(BUSY, after_s=self._some(0, 0.3))
            return
        if how == "never":
            phone.never_answers()
            return
        phone.answers(after_s=self._some(0.1, 1.0))
        if how == "leaves early":
            phone.hangs_up(after_s=self._some(0, 3))
            return
        phone.dials("99#" if how == "keys nonsense" else f"{friend}#", after_s=self._some(0.5, 2.0))
        if how == "stars":
            phone.dials("**", after_s=self._some(2, 4))
        if how == "twice":
            phone.dials(f"{friend}#", after_s=self._some(3, 6))
        phone.hangs_up(after_s=self._some(2, 6))

    def _friend(self, phone: Phone) -> None:
        dice = self._dice
        how = dice.choices(("talks", "stays", "busy", "congested", "rejects", "never"), (10, 3, 1, 1, 1, 1))[
            0
        ]
        refusals: dict[str, int] = {"busy": BUSY, "congested": CONGESTION, "rejects": DECLINED}
        if how in refusals:
            phone.refuses(refusals[how], after_s=self._some(0, 0.5))
        elif how == "never":
            phone.never_answers()
        else:
            phone.answers(after_s=self._some(0.1, 1.5))
            if how == "talks":
                phone.hangs_up(after_s=self._some(0, 4))


def rang(world: World, pairs: Sequence[Pair]) -> list[str]:
    """The numbers whose phone was called at least once."""
    return [pair.number for pair in pairs if world.phone(pair.number).calls]
