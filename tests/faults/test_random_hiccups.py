"""Twenty-five calls at once while Asterisk or the database fails now and then: nothing stays open, all is charged.

Each seed is another crowd and other hiccups. On the fake Asterisk; the journal it keeps is the truth.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from crowd import QUICK, Crowd, rang
from fault_rig import Site, new_site

from stasis_callback.ari.cel import CelJournal
from stasis_callback.core.rating import Rate
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork
from stasis_callback.testing.fake.faults import Plan
from stasis_callback.testing.hiccups import at_random, hiccups

CALLS, SHARE = 25, 0.04
SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, 10))]
TOLERANCE_US = 250_000
"""Events and journal are stamped one after the other, on a busy machine."""

Trouble = Callable[[Site, FakeAsterisk, int], AbstractContextManager[None]]


@dataclass
class NowAndThen(Plan):
    """A fault of a random share of all requests."""

    share: float = 0.0
    dice: random.Random = field(default_factory=random.Random)

    def applies(self, path: str) -> bool:
        return self.dice.random() < self.share


@contextmanager
def asterisk_answers_503(_site: Site, fake: FakeAsterisk, seed: int) -> Iterator[None]:
    fake.faults.plans.append(NowAndThen("5xx", re.compile(""), -1, share=SHARE, dice=random.Random(seed)))
    yield
    fake.faults.clear()


@contextmanager
def the_answer_of_asterisk_is_lost(_site: Site, fake: FakeAsterisk, seed: int) -> Iterator[None]:
    lost = NowAndThen("lose", re.compile(""), -1, share=SHARE, dice=random.Random(seed))
    fake.faults.plans.append(lost)
    yield
    fake.faults.clear()


@contextmanager
def the_database_fails(site: Site, _fake: FakeAsterisk, seed: int) -> Iterator[None]:
    with hiccups(site.stores.database, at_random(seed, SHARE)):
        yield


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "trouble", [asterisk_answers_503, the_answer_of_asterisk_is_lost, the_database_fails]
)
def test_a_crowd_calls_while_something_fails_now_and_then(
    trouble: Trouble, seed: int, tmp_path: Path
) -> None:
    with FakeAsterisk(speed=8) as fake, new_site(FakeNetwork(fake), tmp_path) as site:
        site.sells(
            Rate("420", first_price_micros=60_000, next_price_micros=60_000),
            Rate("44", first_price_micros=120_000, next_price_micros=120_000),
        )
        site.access_number(**QUICK)
        crowd = Crowd(site, seed, CALLS, pace=2)
        with site.running(housekeeping_s=1):
            with trouble(site, fake, seed), ThreadPoolExecutor(CALLS) as callers:
                refusals = list(callers.map(lambda pair: site.rings(ani=pair.number), crowd.pairs))
                busy = [
                    pair for pair, refusal in zip(crowd.pairs, refusals, strict=True) if refusal.cause == 17
                ]
                site.finished(len(busy), timeout_s=90)
            site.clean()  # who was told congestion because the answer to the commit was lost is called back as well
            assert site.fuses.violations == []
        assert not any(refusal.answered for refusal in refusals)
        assert set(rang(site, crowd.pairs)) >= {pair.number for pair in busy}
        _charged_as_in_the_journal(site)


def _charged_as_in_the_journal(site: Site) -> None:
    xdrs = site.xdr_list()
    records = CelJournal(site.settings.asterisk.cel_path).records([xdr.leg_id for xdr in xdrs])
    wrong = {}
    for xdr in xdrs:
        record = records.get(xdr.leg_id)
        lived_us = 0
        if record is not None and record.answered_at_us is not None:
            lived_us = (record.ended_at_us or 0) - record.answered_at_us
        if abs(xdr.duration_us - lived_us) > TOLERANCE_US:
            wrong[xdr.leg_id] = (xdr.duration_us, lived_us, xdr.source)
    assert wrong == {}
