"""What a report asks of the database: the totals that are kept, and the call records that are not in them.

All within one moment (`Database.moment`), or a record could be in neither of them, or in both.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from operator import add, itemgetter
from typing import Any, ClassVar, NamedTuple

from stasis_callback.store.calls.ranking import RankedTime, ranked_time
from stasis_callback.store.calls.times import HOUR_US, LEVELS, TimePiece, pieces
from stasis_callback.store.calls.totals import KINDS, OF_XDR, SUMS, TotalsTable, counted_until, xdr_source
from stasis_callback.store.database.periods import behind
from stasis_callback.store.database.statements import every_once, one

FEW_XDRS = 5000
"""So many that are not in the totals yet are read by their ids; of more, by the time they ended."""
FEW_NUMBERS = 20_000
"""So many call records, of any time, are found by how their numbers begin; of more, by the time they ended."""
MANY_XDRS = 20_000
"""More call records than these are not read while a page is waited for: they take the database 100 ms."""
MANY_TOTALS = 120_000
"""Nor are more totals than these, to see which accounts paid the most."""
FORGOTTEN_DIGITS = (2, 5)
"""How many digits may be left of a number that was forgotten."""
EDGES_AT_ONCE = 100
"""So many ends of days that are no whole hours are looked for by one statement; SQLite allows 500."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Only what these name; "" takes everything."""

    account: str = ""
    prefix: str = ""
    trunk: str = ""


class Row(NamedTuple):
    """The sums of one group, in one currency and one currency of the cost; in the order of `SUMS`."""

    currency: str
    cost_currency: str
    sums: tuple[int, ...]


class _Select(NamedTuple):
    """A SELECT of totals or call records, and its values."""

    sql: str
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Named:
    """What a report is by: the column of the totals, how its group is called, and the tables that know."""

    of: str
    name: str
    tables: str = ""
    named_in: tuple[str, str] | None = None
    """Where there may be many: the table of the groups, and its column that names one."""


class Sums:
    """Adds up the call records of some time. To be made and used within one moment."""

    OF: ClassVar[Mapping[str, _Named]] = {
        "account": _Named("account_id", "n.number", "LEFT JOIN account AS n ON n.id = g.account_id",
            ("account", "number")),
        "customer": _Named("customer_id", "n.name", "LEFT JOIN customer AS n ON n.id = g.customer_id",
            ("customer", "name")),
        "prefix": _Named("prefix", "g.prefix"),
        "trunk": _Named("trunk_id", "n.name", "LEFT JOIN trunk AS n ON n.id = g.trunk_id"),
        "vendor": _Named(
            "trunk_id", "v.name",
            "LEFT JOIN trunk AS n ON n.id = g.trunk_id LEFT JOIN vendor AS v ON v.id = n.vendor_id",
        ),
        "side": _Named("side", "g.side"),
        "outcome": _Named("outcome", "g.outcome"),
    }  # fmt: skip
    """What calls can be added up by."""
    _OF_ACCOUNT: ClassVar[Mapping[str, _Named]] = {
        "customer": _Named(
            "account_id", "n.name",
            "LEFT JOIN account AS o ON o.id = g.account_id LEFT JOIN customer AS n ON n.id = o.customer_id",
        ),
    }  # fmt: skip
    """The same for calls of one account, whose totals tell it."""

    def __init__(self, only: Filter) -> None:
        self._until = counted_until()
        self._few = int(one("SELECT MAX(id) FROM xdr")[0] or 0) - self._until <= FEW_XDRS
        self._prefix = only.prefix
        self._told_by: str | None = "prefix"
        """What tells which calls have the prefix that is asked for: that of the rate, or the first digits too; or the
        numbers of the call records alone."""
        self._asked = {
            name: int((one(statement, text) or (-1,))[0])
            for name, statement, text in (
                ("account_id", "SELECT id FROM account WHERE number = ?", only.account),
                ("trunk_id", "SELECT id FROM trunk WHERE name = ?", only.trunk),
            )
            if text
        }

    def by_span(self, spans: Sequence[tuple[int, int]]) -> list[tuple[int, Row]]:
        """The sums of each of these times, which are in order and do not overlap; by its place in the list.

        The database adds up days of UTC or hours, and call records by the longest step of which all these times are
        some; which is of which time is quicker found here: no plan of a join suits a month and ten years, and both
        databases.
        """
        step_us, hours = _steps(spans)
        kind = self._kind((), spans[0][0], spans[-1][1], longest=hours)
        merged: dict[tuple[int, str, str], tuple[int, ...]] = {}
        for parts, length_us in self._of_steps(kind, spans, step_us, hours):
            rows = _grouped(parts, ("at_us",))
            for at_us, *rest in every_once(rows.sql, rows.values):
                n, row = bisect_right(spans, int(at_us), key=itemgetter(0)) - 1, _row(rest)
                key = n, row.currency, row.cost_currency
                if (
                    at_us + length_us <= spans[n][1]
                ):  # or it is an hour of two of the times, and read by its records
                    merged[key] = tuple(map(add, merged[key], row.sums)) if key in merged else row.sums
        return [
            (n, Row(currency, cost_currency, sums)) for (n, currency, cost_currency), sums in merged.items()
        ]

    def _of_steps(
        self, kind: TotalsTable | None, spans: Sequence[tuple[int, int]], step_us: int, hours: int
    ) -> Iterator[tuple[Sequence[_Select], int]]:
        """What has to be added up for times that follow one another, and how long its steps are."""
        from_us, to_us = spans[0][0], spans[-1][1]
        step = f"x.ended_at_us / {step_us} * {step_us} AS at_us"
        if kind is None:
            where, values = self._alone(from_us, to_us)
            yield [self._xdrs((), where, *values, first=step)], step_us
            return
        found = [piece for span in spans for piece in pieces(*span, (hours,))]
        whole, edges = ([one for one in found if bool(one.hours) is is_whole] for is_whole in (True, False))
        if whole:
            all_of_them = TimePiece(hours, whole[0].from_us, whole[-1].to_us)
            yield [self._totals(kind, (), all_of_them, first="t.from_us AS at_us")], hours * HOUR_US
        old = f"x.id + 0 <= ? AND {_within('?', '?')}"
        for n in range(0, len(edges), EDGES_AT_ONCE):
            some = edges[n : n + EDGES_AT_ONCE]
            yield [self._xdrs((), old, self._until, at.from_us, at.to_us, first=step) for at in some], step_us
        yield [self._new((), from_us, to_us, first=step)], step_us

    def by(
        self, by: str, from_us: int, to_us: int, limit: int | None, names: Sequence[str] = ()
    ) -> tuple[list[tuple[str, Row]], list[Row]]:
        """The sums of each group in a time. Where there may be many more than are wanted (`names`, or else those with
        the greatest revenue, at most `limit`): of these, and what all others have together.
        """
        named = self._named(by)
        kind = self._kind((named.of,), from_us, to_us)
        parts = list(self._parts(kind, (named.of,), from_us, to_us))
        shown = None
        if kind is not None and named.named_in and "account_id" not in self._asked:
            shown = (
                self._called(named, names) if names else self._greatest(named, kind, from_us, to_us, limit)
            )
        if shown is None:
            return self._names(named, parts), []
        rows = self._names(named, list(self._parts(kind, (named.of,), from_us, to_us, shown)), shown)
        left: defaultdict[tuple[str, str], tuple[int, ...]] = defaultdict(lambda: (0,) * len(SUMS))
        whole = _grouped(list(self._parts(self._kind((), from_us, to_us), (), from_us, to_us)), ())
        for row in map(_row, every_once(whole.sql, whole.values)):
            left[row[:2]] = row.sums
        for _, row in rows:
            left[row[:2]] = tuple(all_ - its for all_, its in zip(left[row[:2]], row.sums, strict=True))
        return rows, [Row(*money, sums) for money, sums in left.items() if sums[0]]

    def is_long(self, by: str, spans: Sequence[tuple[int, int]], names: Sequence[str] = ()) -> bool:
        """Whether a page should not wait for a report of these times: more than `MANY_XDRS` would be read, or to rank
        accounts more than `MANY_TOTALS`. It takes some milliseconds to see that.
        """
        from_us, to_us = spans[0][0], spans[-1][1]
        named = None if by == "day" else self._named(by)
        of = (named.of,) if named else ()
        kind = self._kind(of, from_us, to_us, LEVELS[0] if named else _steps(spans)[1])
        if kind is None:
            where, values = self._alone(from_us, to_us)
            account = self._asked.get("account_id")
            if account is not None:
                where, values = f"{where} AND x.account_id = ?", (*values, account)
            return _is_more(MANY_XDRS, _Select(f"SELECT 1 AS one FROM xdr AS x WHERE {where}", values))
        if of != ("account_id",) or names or "account_id" in self._asked:
            return False  # other groups are few, and these are looked for by their keys
        time = self._ranked_time("account_id", from_us, to_us)
        if time:
            at_most = int(one("SELECT MAX(id) FROM account")[0] or 0) * len(time.rows)
            return at_most > MANY_TOTALS and _is_more(MANY_TOTALS, _Select(*time.accounts()))
        if self._counted_calls(from_us, to_us) <= MANY_TOTALS:
            return False
        totals = f"SELECT 1 AS one FROM {kind.table} AS t WHERE {_OF_LEVEL}"
        parts = [
            _Select(totals, _level(piece)) for piece in pieces(from_us, to_us, kind.levels) if piece.hours
        ]
        return bool(parts) and _is_more(MANY_TOTALS, _Select(_union(parts), _values(parts)))

    @staticmethod
    def _counted_calls(from_us: int, to_us: int) -> int:
        """How many calls of a time are in the totals: no table has more rows for it, and few of the smallest."""
        kind = KINDS[0]
        parts = [
            _Select(f"SELECT t.attempts FROM {kind.table} AS t WHERE {_OF_LEVEL}", _level(piece))
            for piece in pieces(from_us, to_us, kind.levels)
            if piece.hours
        ]
        counted = f"SELECT SUM(attempts) FROM ({_union(parts)}) AS p"
        return int(every_once(counted, _values(parts))[0][0] or 0) if parts else 0

    def _named(self, by: str) -> _Named:
        return self._OF_ACCOUNT.get(by, self.OF[by]) if "account_id" in self._asked else self.OF[by]

    def _ranked_time(self, of: str, from_us: int, to_us: int) -> RankedTime | None:
        """The blocks of a time by which accounts are ranked; None where other things have to be read."""
        if of != "account_id" or not self._few or self._asked or self._prefix:
            return None
        return ranked_time(from_us, to_us)

    def _greatest(
        self, named: _Named, kind: TotalsTable, from_us: int, to_us: int, limit: int | None
    ) -> Sequence[object] | None:
        """The ids of the `limit` groups with the greatest revenue, by that alone; None where there are no more.

        An account or a customer has one currency. The database adds up numbers with a point, exactly up to 2**53
        micros: PostgreSQL takes twice as long for sums of integers that have no end.
        """
        if limit is None:
            return None
        time = self._ranked_time(named.of, from_us, to_us)
        if time:
            found = self._greatest_of_long(kind, time, from_us, to_us, limit)
            if found:
                return found
        parts = list(self._parts(kind, (named.of,), from_us, to_us, ranked=True))
        found = every_once(
            f"""SELECT {named.of} FROM ({_union(parts)}) AS p GROUP BY {named.of}
                ORDER BY SUM(revenue) DESC, SUM(attempts) DESC, {named.of} LIMIT ?""",
            (*_values(parts), limit + 1),
        )
        return [key for (key,) in found[:limit]] if len(found) > limit else None

    def _greatest_of_long(
        self, kind: TotalsTable, time: RankedTime, from_us: int, to_us: int, limit: int
    ) -> Sequence[object]:
        """The ids of the `limit` accounts with the greatest revenue, by whole blocks of time and what is more or less
        than these; and of accounts that have no call in the totals yet. None where fewer had any revenue: then it is
        attempts that count.
        """
        ends, values = [], list[object]()
        for spans, sign in ((time.more, ""), (time.less, "-")):
            for span in spans:
                for part in self._counted(kind, ("account_id",), *span, ranked=True):
                    ends.append(f"SELECT account_id, {sign}revenue AS revenue FROM ({part.sql}) AS q")
                    values += part.values
        new = self._new(("account_id",), from_us, to_us, ranked=True)
        ends.append(f"SELECT account_id, revenue FROM ({new.sql}) AS q")
        whole, rows = time.revenue()
        found = every_once(
            f"""SELECT r.account_id, r.revenue + COALESCE(e.revenue, 0) AS revenue FROM ({whole}) AS r LEFT JOIN (
                SELECT account_id, SUM(revenue) AS revenue FROM ({" UNION ALL ".join(ends)}) AS p GROUP BY account_id
            ) AS e ON e.account_id = r.account_id ORDER BY 2 DESC, 1 LIMIT ?""",
            (*rows, *values, *new.values, limit + 1),
        )
        if len(found) <= limit or found[limit][1] <= 0:
            return ()
        unlisted = every_once(
            f"""SELECT new.account_id FROM ({new.sql}) AS new WHERE NOT EXISTS (
                SELECT 1 FROM account_revenue AS r
                WHERE r.account_id = new.account_id AND r.from_us IN ({_places(rows)}))""",
            (*new.values, *rows),
        )
        return list(dict.fromkeys(key for key, *_ in (*found[:limit], *unlisted)))

    @staticmethod
    def _called(named: _Named, names: Sequence[str]) -> Sequence[object]:
        """The ids of the groups of these names; one that no group has, where there are none."""
        assert named.named_in
        table, column = named.named_in
        found = every_once(f"SELECT id FROM {table} WHERE {column} IN ({_places(names)})", tuple(names))
        return [key for (key,) in found] or [-1]

    # --- which totals --------------------------------------------------------------------------------------------

    def _kind(
        self, of: Sequence[str], from_us: int, to_us: int, longest: int = LEVELS[0]
    ) -> TotalsTable | None:
        """The smallest table that has these and what is filtered by, for times of at most `longest` hours; None where
        call records tell, alone or sooner.
        """
        if not self._until:
            return None
        wanted = {*of, *self._asked}
        if self._prefix:
            self._told_by = self._teller(from_us, to_us)
            if self._told_by is None:
                return None
            wanted |= {"prefix", self._told_by}
        kind = next((kind for kind in KINDS if wanted <= set(kind.of) and kind.levels[-1] <= longest), None)
        if kind and "account_id" in self._asked and self._has_few(from_us, to_us):
            return None
        return kind

    def _has_few(self, from_us: int, to_us: int) -> bool:
        """Whether the account that is asked for has few call records: their index is read sooner than the totals of
        all accounts.
        """
        its = f"SELECT 1 AS one FROM xdr AS x WHERE x.account_id = ? AND {_within('?', '?')}"
        return not _is_more(FEW_XDRS, _Select(its, (self._asked["account_id"], from_us, to_us)))

    def _teller(self, from_us: int, to_us: int) -> str | None:
        """What tells which calls of a time begin with the prefix: that of the rate; where it is shorter, the first
        digits of the number; where they are shorter too, None.
        """
        for told_by, sure in (("prefix", ""), ("first_digits", " AND substr(t.prefix, 1, ?) <> ?")):
            kind = next(kind for kind in KINDS if told_by in kind.of)
            shorter = [self._prefix[:n] for n in range(len(self._prefix))]
            where = f"t.{told_by} IN ({_places(shorter)}){sure}"
            more = (len(self._prefix), self._prefix) if sure else ()
            parts = [
                _Select(
                    f"SELECT 1 AS one FROM {kind.source()} WHERE {_OF_LEVEL} AND {where}",
                    (*_level(piece), *shorter, *more),
                )
                for piece in pieces(from_us, to_us, kind.levels)
                if piece.hours
            ]
            # What is true of some table with these is true of all: the smallest of them was asked.
            if not parts or not every_once(f"{_union(parts)} LIMIT 1", _values(parts)):
                return told_by
        return None

    def _alone(self, from_us: int, to_us: int) -> tuple[str, tuple[object, ...]]:
        """Where those call records are that alone tell: by their numbers where these are few, or by time."""
        if self._told_by is None and (between := self._numbers()):
            # Each by itself: of all together PostgreSQL may read the index from end to end.
            numbered = " UNION ALL ".join(
                ["SELECT x.id FROM xdr AS x WHERE x.number >= ? AND x.number < ?"] * len(between)
            )
            values = tuple(value for pair in between for value in pair)
            if not _is_more(FEW_NUMBERS, _Select(numbered, values)):
                where = f"x.id IN ({numbered}) AND {_within('?', '?', by_index=False)}"
                return where, (*values, from_us, to_us)
        return _within("?", "?"), (from_us, to_us)

    def _numbers(self) -> list[tuple[str, str]]:
        """Between which numbers those are that may have the prefix; forgotten ones have an x behind what was left."""
        end = behind(self._prefix) if self._prefix.isdecimal() else ""
        if not end:
            return []
        left = [self._prefix[:n] for n in FORGOTTEN_DIGITS if n < len(self._prefix)]
        return [(self._prefix, end), *((f"{digits}x", f"{digits}y") for digits in left)]

    # --- parts of a statement ---------------------------------------------------------------------------------------

    def _parts(
        self,
        kind: TotalsTable | None,
        of: Sequence[str],
        from_us: int,
        to_us: int,
        shown: Sequence[object] = (),
        *,
        ranked: bool = False,
    ) -> Iterator[_Select]:
        """What has to be added up for a time; with `shown`, of these groups only; or what they are ranked by."""
        if kind is None:
            where, values = self._alone(from_us, to_us)
            yield self._xdrs(of, where, *values, shown=shown)
            return
        yield from self._counted(kind, of, from_us, to_us, shown, ranked=ranked)
        yield self._new(of, from_us, to_us, shown=shown, ranked=ranked)

    def _counted(
        self, kind: TotalsTable, of: Sequence[str], from_us: int, to_us: int, shown: Sequence[object] = (),
        *, ranked: bool = False,
    ) -> Iterator[_Select]:  # fmt: skip
        """The totals of a time, and those call records of its ends that are in the totals."""
        for piece in pieces(from_us, to_us, kind.levels):
            if piece.hours:
                yield self._totals(kind, of, piece, shown, ranked=ranked)
            else:
                old, values = f"x.id + 0 <= ? AND {_within('?', '?')}", (piece.from_us, piece.to_us)
                yield self._xdrs(of, old, self._until, *values, shown=shown, ranked=ranked)

    def _new(self, of: Sequence[str], from_us: int, to_us: int, **more: Any) -> _Select:
        """The call records of a time that are not in the totals."""
        new = "x.id > ?" if self._few else "x.id + 0 > ?"
        new += f" AND {_within('?', '?', by_index=not self._few)}"
        return self._xdrs(of, new, self._until, from_us, to_us, **more)

    def _totals(
        self,
        kind: TotalsTable,
        of: Sequence[str],
        piece: TimePiece,
        shown: Sequence[object] = (),
        *,
        first: str = "",
        ranked: bool = False,
    ) -> _Select:
        """Totals; `first` is a column before the others."""
        names = of if ranked else (*of, "currency", "cost_currency", *SUMS)
        columns = [
            *([first] if first else []),
            *(f"t.{name}" for name in names),
            *(_ranks("t", "t.attempts") if ranked else ()),
        ]
        where, values = self._filters("t")
        times = _OF_LEVEL
        at: tuple[object, ...] = _level(piece)
        if shown or "account_id" in self._asked:
            # The rows of these few are looked for in the index, in each time: those of all are many more.
            length_us = piece.hours * HOUR_US
            starts = range(piece.from_us, piece.to_us, length_us)
            times, at = f"t.hours = ? AND t.from_us IN ({_places(starts)})", (piece.hours, *starts)
        if "account_id" in self._asked:
            times, at = f"{times} AND t.account_id = ?", (*at, self._asked["account_id"])
        if shown:
            times, at = f"{times} AND t.{of[0]} IN ({_places(shown)})", (*at, *shown)
        needed = {*names, *self._asked} | ({"prefix"} if self._prefix else set())
        # Before they are joined to their classes, as PostgreSQL may read them anew for each class that is meant.
        few = times if times != _OF_LEVEL else ""
        sql = f"SELECT {', '.join(columns)} FROM {kind.source(needed, few)} WHERE {'TRUE' if few else times}{where}"
        return _Select(sql, (*at, *values))

    def _xdrs(
        self, of: Sequence[str], where: str, *values: object, shown: Sequence[object] = (), first: str = "",
        ranked: bool = False,
    ) -> _Select:  # fmt: skip
        """Call records; `first` is a column before the others."""
        columns = [*([first] if first else []), *(f"{OF_XDR[name]} AS {name}" for name in of)]
        sums = [f"{sql} AS {name}" for name, sql in SUMS.items()]
        columns += _ranks("x", "1") if ranked else ["x.currency", "x.cost_currency", *sums]
        filters, asked = self._filters("x")
        filters += f" AND {_among(OF_XDR[of[0]], shown)}" if shown else ""
        sql = f"SELECT {', '.join(columns)} FROM {xdr_source(of)} WHERE {where}{filters}"
        return _Select(sql, (*values, *asked, *shown))

    def _filters(self, table: str) -> tuple[str, tuple[object, ...]]:
        """What is added to a WHERE about `t`, the totals, or `x`, the call records."""
        where, values = "", list[object](self._asked.values())
        for name in self._asked:
            where += f" AND {table}.{name} = ?"
        if self._prefix:
            # Numbers that were forgotten still have the prefix they were charged by.
            begins = [f"substr({table}.prefix, 1, ?) = ?"]
            if table == "x":
                begins += ["substr(x.number, 1, ?) = ?"]
            elif self._told_by == "first_digits":
                begins += ["substr(t.first_digits, 1, ?) = ?"]
            where += f" AND ({' OR '.join(begins)})"
            values += [len(self._prefix), self._prefix] * len(begins)
        return where, tuple(values)

    @staticmethod
    def _names(
        named: _Named, parts: Sequence[_Select], shown: Sequence[object] = ()
    ) -> list[tuple[str, Row]]:
        """The sums of each group, by its name."""
        rows = _grouped(parts, (named.of,))
        if named.named_in and shown:
            # Not by a join: PostgreSQL expects more of them, and reads the names of all.
            table, column = named.named_in
            called = dict(
                every_once(f"SELECT id, {column} FROM {table} WHERE id IN ({_places(shown)})", shown)
            )
            return [(called.get(key, ""), _row(rest)) for key, *rest in every_once(rows.sql, rows.values)]
        found = every_once(f"SELECT {named.name}, g.* FROM ({rows.sql}) AS g {named.tables}", rows.values)
        return [(name or "", _row(rest)) for name, _, *rest in found]


def _steps(spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The longest step of which all these times are some, in microseconds; and of how many hours totals suit them."""
    step_us = gcd(*(bound_us for span in spans for bound_us in span))
    return step_us, 24 if step_us % (24 * HOUR_US) == 0 else 1


def _is_more(limit: int, rows: _Select) -> bool:
    """Whether there are more rows than these; no more are counted."""
    seen = f"SELECT COUNT(*) FROM (SELECT 1 AS one FROM ({rows.sql}) AS r LIMIT ?) AS seen"
    return int(every_once(seen, (*rows.values, limit + 1))[0][0]) > limit


_OF_LEVEL = "t.hours = ? AND t.from_us >= ? AND t.from_us < ?"


def _level(piece: TimePiece) -> tuple[int, int, int]:
    return piece.hours, piece.from_us, piece.to_us


def _among(column: str, shown: Sequence[object]) -> str:
    """The condition that a group is one of some; not to be found by that: those of one may be most of all."""
    return f"{column} + 0 IN ({_places(shown)})"


def _ranks(table: str, attempts: str) -> list[str]:
    """What groups are ranked by, of totals or call records."""
    revenue = f"{table}.amount_micros - {table}.overrun_micros"
    return [
        f"CAST({sql} AS DOUBLE PRECISION) AS {name}"
        for sql, name in ((revenue, "revenue"), (attempts, "attempts"))
    ]


def _within(from_: str, to: str, *, by_index: bool = True) -> str:
    """The condition that a call record ended in a time; otherwise it is found by its id, and not by its end."""
    ended = "x.ended_at_us" if by_index else "x.ended_at_us + 0"
    return f"{ended} >= {from_} AND {ended} < {to}"


def _grouped(parts: Sequence[_Select], of: Sequence[str]) -> _Select:
    """All parts added up by these."""
    groups = ", ".join((*of, "currency", "cost_currency"))
    sums = ", ".join(f"SUM({name}) AS {name}" for name in SUMS)
    return _Select(f"SELECT {groups}, {sums} FROM ({_union(parts)}) AS p GROUP BY {groups}", _values(parts))


def _places(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _union(parts: Sequence[_Select]) -> str:
    return " UNION ALL ".join(part.sql for part in parts)


def _values(parts: Sequence[_Select]) -> tuple[object, ...]:
    return tuple(value for part in parts for value in part.values)


def _row(values: Sequence[Any]) -> Row:
    currency, cost_currency, *sums = values
    return Row(currency, cost_currency, tuple(map(int, sums)))
