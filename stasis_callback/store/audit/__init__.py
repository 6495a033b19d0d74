"""`ledger verify`: proves the chains of the books and recomputes every sum, apart from the code that made them.

It reads some hundred rows at a look (`snapshots.py`): each look sees one moment, keeps nobody from writing and is
over soon, and what is kept in memory does not grow with the books. That several looks see several moments does not
matter: what has to agree is written in one transaction and read in one look.

Usually it proves what is new since it last proved a book, and a part of the rest again, another one each time;
`whole` proves everything at once. Small books are proven whole each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import lru_cache
from itertools import islice

from peewee import DoesNotExist

from stasis_callback.core.errors import InvalidInput, StoreUnavailable
from stasis_callback.store.audit.beside import TABLES, standing
from stasis_callback.store.audit.by_rows import ROWS_AT_A_LOOK, steps
from stasis_callback.store.audit.chains import ChainStep, Walk
from stasis_callback.store.audit.owners import OWNERS, gone_books
from stasis_callback.store.audit.proofs import CHAINS, Proofs, position_from
from stasis_callback.store.audit.rows import Mark, Position
from stasis_callback.store.audit.totals import days
from stasis_callback.store.audit.xdrs import Rated
from stasis_callback.store.database.database import Database
from stasis_callback.store.database.snapshots import Snapshots, open_snapshots
from stasis_callback.store.rates.tariffs import Tariffs

AGAIN_LINKS = 5000
AGAIN_ROWS = 10_000
AGAIN_DAYS = 10
"""The number of verified links, of rows of each other table, and of days of totals, that one run verifies again."""
TOTALS = "totals"
"""The name of the round through the days of the totals."""
PRICES_LIMIT = 10_000

_CURRENCY = "SELECT tariff.currency FROM rate JOIN tariff ON tariff.id = rate.tariff_id WHERE rate.id = ?"

Progress = Callable[[int, int], None]


def verify(
    database: Database,
    tariffs: Tariffs,
    *,
    whole: bool = False,
    kept: Mapping[str, Mark] | None = None,
    progress: Progress = lambda _done, _total: None,
    not_noted: Callable[[str], None] | None = None,
) -> list[str]:
    """What is wrong with the ledger, a sentence each; an empty list when every sum agrees.

    `kept` is a checkpoint that was kept elsewhere: everything must follow from it and lead to it, so that proves the
    whole. `progress` hears how many links of how many are done. `not_noted` hears, once, why it cannot be noted what
    is proven (a full disk): that goes on then, and is proven again the next time. Raises StoreUnavailable.
    """
    with closing(open_snapshots(database)) as looks:
        audit = _Audit(looks, Proofs(database), tariffs, kept or {}, progress, not_noted)
        # The same twice is said once: what is new is proven, and may be proven again.
        return list(dict.fromkeys(audit.everything() if whole or kept is not None else audit.part()))


class _Audit:
    """One run of the verification."""

    def __init__(
        self,
        looks: Snapshots,
        proofs: Proofs,
        tariffs: Tariffs,
        kept: Mapping[str, Mark],
        progress: Progress,
        not_noted: Callable[[str], None] | None,
    ) -> None:
        self._looks = looks
        self._proofs = proofs
        self._missing = set(kept)
        self._progress = progress
        self._not_noted = not_noted
        self._is_noted = True

        @lru_cache(maxsize=PRICES_LIMIT)
        def price_of(rate_id: int, terms_id: int) -> Rated | None:
            try:
                price = tariffs.stored(rate_id, terms_id).price
            except (DoesNotExist, InvalidInput, TypeError, ValueError):  # gone, or damaged: it makes no price
                return None
            with looks.look():
                currencies = looks.rows(_CURRENCY, (rate_id,))
            return Rated(price, currencies[0][0]) if currencies else None

        self._walk = Walk(looks, price_of, kept)

    def everything(self) -> Iterator[str]:
        """Verify everything."""
        yield from self._standing()
        with self._looks.look():
            # Somebody may have put a text there, or more than adds up.
            [(total,)] = self._looks.rows(
                "SELECT COALESCE(SUM(links * 1.0), 0) FROM book WHERE links < 1000000000"
            )
        done = 0
        for step in self._walk.whole(Position()):
            yield from self._taken_in(step)
            done += step.links
            self._progress(done, int(total))
        for name in sorted(self._missing):
            yield f"{name} is in the checkpoint, not in the books"
        for table in TABLES:
            for _, wrong in steps(self._looks, table, table.before_first):
                yield from wrong
        for _, wrong in days(self._looks, 0):
            yield from wrong

    def part(self) -> Iterator[str]:
        """Prove what is new, and a part of the rest again."""
        yield from self._standing()
        for step in self._walk.forward():
            yield from self._taken_in(step)
        rounds = self._proofs.rounds()
        goes_on: dict[str, object] = {}
        done = 0
        for step in self._walk.whole(position_from(rounds.get(CHAINS))):
            yield from step.wrong
            done += step.links
            goes_on[CHAINS] = step.goes_on_at
            if done >= AGAIN_LINKS:
                break
        for table in TABLES:
            looks = -(-AGAIN_ROWS // ROWS_AT_A_LOOK)
            start = rounds.get(table.name)
            start = start if isinstance(start, type(table.before_first)) else table.before_first
            for last, wrong in islice(steps(self._looks, table, start), looks):
                goes_on[table.name] = last
                yield from wrong
        start = rounds.get(TOTALS)
        goes_on[TOTALS] = 0
        for day, (next_us, wrong) in enumerate(days(self._looks, start if isinstance(start, int) else 0), 1):
            yield from wrong
            if day == AGAIN_DAYS:
                goes_on[TOTALS] = next_us
                break
        if goes_on != rounds:
            self._note(lambda: self._proofs.save_rounds(goes_on))

    def _taken_in(self, step: ChainStep) -> list[str]:
        """Note what a step has proven; what was wrong."""
        if step.proven:
            self._note(lambda: self._proofs.save(step.proven))
        self._missing.difference_update(step.names)
        return step.wrong

    def _note(self, note: Callable[[], None]) -> None:
        """Note what is proven, unless that could not be done before."""
        try:
            if self._is_noted:
                note()
        except StoreUnavailable as error:
            if self._not_noted is None:
                raise
            self._is_noted = False
            self._not_noted(str(error))

    def _standing(self) -> Iterator[str]:
        """What is looked at in every run, whatever was proven before."""
        yield from standing(self._looks)
        yield from gone_books(self._looks)
        for table in OWNERS:
            for _, wrong in steps(self._looks, table, table.before_first):
                yield from wrong
