"""What a report asks of the database: the totals that are kept, and the call records that are not in them.

All within one moment (`Database.moment`), or a record could be in neither of them, or in both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from stasis_callback.store.calls.totals import (
    KINDS,
    LEVELS,
    OF_XDR,
    SUMS,
    TotalsTable,
    counted_until,
    pieces,
    xdr_source,
)
from stasis_callback.store.database.statements import every_once, one

FEW_XDRS = 5000
"""So many that are not in the totals yet are read by their ids; of more, by the time they ended."""


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


class Sums:
    """Adds up the call records of some time. To be made and used within one moment."""

    OF: ClassVar[Mapping[str, _Named]] = {
        "account": _Named("account_id", "n.number", "LEFT JOIN account AS n ON n.id = g.account_id"),
        "customer": _Named("customer_id", "n.name", "LEFT JOIN customer AS n ON n.id = g.customer_id"),
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

    def __init__(self, only: Filter) -> None:
        self._until = counted_until()
        self._few = int(one("SELECT MAX(id) FROM xdr")[0] or 0) - self._until <= FEW_XDRS
        self._prefix = only.prefix
        self._asked = {
            name: int((one(statement, text) or (-1,))[0])
            for name, statement, text in (
                ("account_id", "SELECT id FROM account WHERE number = ?", only.account),
                ("trunk_id", "SELECT id FROM trunk WHERE name = ?", only.trunk),
            )
            if text
        }

    def by_span(self, spans: Sequence[tuple[int, int]]) -> list[tuple[int, Row]]:
        """The sums of each of these times, which do not overlap; by its place in the list."""
        kind = self._kind((), spans[0][0], spans[-1][1], longest=1)
        whole = [(n, *span) for n, span in enumerate(spans)]
        tables = {"span": whole}
        if kind is None:
            parts = [self._xdrs((), "span AS s CROSS JOIN", "s.n", _within("s.from_us", "s.to_us"))]
        else:
            tables |= _hours_and_edges(whole)
            parts = [self._of_spans(kind, tables["hour"])] if "hour" in tables else []
            if "edge" in tables:
                old = f"x.id + 0 <= ? AND {_within('e.from_us', 'e.to_us')}"
                parts.append(self._xdrs((), "edge AS e CROSS JOIN", "e.n", old, self._until))
            if self._few:
                new = f"x.id > ? AND {_within('s.from_us', 's.to_us', by_index=False)}"
                parts.append(self._xdrs((), "CROSS JOIN span AS s", "s.n", new, self._until))
            else:
                new = f"x.id + 0 > ? AND {_within('s.from_us', 's.to_us')}"
                parts.append(self._xdrs((), "span AS s CROSS JOIN", "s.n", new, self._until))
        rows = _grouped(parts, ("n",), tables)
        return [(int(n), _row(rest)) for n, *rest in every_once(rows.sql, rows.values)]

    def by(
        self, by: str, from_us: int, to_us: int, limit: int | None, names: Sequence[str] = ()
    ) -> tuple[list[tuple[str, Row]], list[Row]]:
        """The sums of each group in a time. Where there may be many more than are wanted (`names`, or else those with
        the greatest revenue, at most `limit`): of these, and what all others have together.
        """
        named = self.OF[by]
        kind = self._kind((named.of,), from_us, to_us)
        parts = list(self._parts(kind, (named.of,), from_us, to_us))
        shown = None
        if kind is not None and named.of in ("account_id", "customer_id"):
            shown = self._called(named, names) if names else self._greatest(named, parts, limit)
        if shown is None:
            return self._names(named, parts), []
        rows = self._names(named, list(self._parts(kind, (named.of,), from_us, to_us, shown)))
        left: defaultdict[tuple[str, str], tuple[int, ...]] = defaultdict(lambda: (0,) * len(SUMS))
        whole = _grouped(list(self._parts(self._kind((), from_us, to_us), (), from_us, to_us)), ())
        for row in map(_row, every_once(whole.sql, whole.values)):
            left[row[:2]] = row.sums
        for _, row in rows:
            left[row[:2]] = tuple(all_ - its for all_, its in zip(left[row[:2]], row.sums, strict=True))
        return rows, [Row(*money, sums) for money, sums in left.items() if sums[0]]

    @staticmethod
    def _greatest(named: _Named, parts: Sequence[_Select], limit: int | None) -> Sequence[object] | None:
        """The ids of the `limit` groups with the greatest revenue, by that alone; None where there are no more.

        An account or a customer has one currency. The database adds up numbers with a point, exactly up to 2**53
        micros: PostgreSQL takes twice as long for sums of integers that have no end.
        """
        if limit is None:
            return None
        found = every_once(
            f"""SELECT {named.of} FROM ({_union(parts)}) AS p GROUP BY {named.of}
                ORDER BY SUM(CAST(amount_micros - overrun_micros AS DOUBLE PRECISION)) DESC,
                SUM(CAST(attempts AS DOUBLE PRECISION)) DESC, {named.of} LIMIT ?""",
            (*_values(parts), limit + 1),
        )
        return [key for (key,) in found[:limit]] if len(found) > limit else None

    @staticmethod
    def _called(named: _Named, names: Sequence[str]) -> Sequence[object]:
        """The ids of the groups of these names; one that no group has, where there are none."""
        table, column = {"account_id": ("account", "number"), "customer_id": ("customer", "name")}[named.of]
        places = ", ".join("?" * len(names))
        found = every_once(f"SELECT id FROM {table} WHERE {column} IN ({places})", tuple(names))
        return [key for (key,) in found] or [-1]

    # --- which totals --------------------------------------------------------------------------------------------

    def _kind(
        self, of: Sequence[str], from_us: int, to_us: int, longest: int = LEVELS[0]
    ) -> TotalsTable | None:
        """The smallest table that has these and what is filtered by, for times of at most `longest` hours; None where
        call records tell, alone or sooner.
        """
        wanted = {*of, *self._asked} | ({"prefix"} if self._prefix else set())
        kind = next((kind for kind in KINDS if wanted <= set(kind.of) and kind.levels[-1] <= longest), None)
        if kind is None or not self._until:
            return None
        if "account_id" in self._asked and self._has_few(from_us, to_us):
            return None
        return None if self._prefix and self._is_finer(from_us, to_us) else kind

    def _has_few(self, from_us: int, to_us: int) -> bool:
        """Whether the account that is asked for has few call records: their index is read sooner than the totals of
        all accounts.
        """
        some = f"SELECT 1 AS one FROM xdr AS x WHERE x.account_id = ? AND {_within('?', '?')} LIMIT ?"
        values = (self._asked["account_id"], from_us, to_us, FEW_XDRS + 1)
        return int(every_once(f"SELECT COUNT(*) FROM ({some}) AS some", values)[0][0]) <= FEW_XDRS

    def _is_finer(self, from_us: int, to_us: int) -> bool:
        """Whether there were calls by a rate whose prefix is only the beginning of what is asked for.

        Then the totals do not tell which of the numbers are meant.
        """
        # What is true of some table with prefixes is true of all: the smallest of them is asked.
        kind = next(kind for kind in KINDS if "prefix" in kind.of)
        shorter = [self._prefix[:n] for n in range(len(self._prefix))]
        wanted = f"t.prefix IN ({', '.join('?' * len(shorter))})"
        parts = [
            _Select(f"SELECT 1 AS one FROM {kind.source} WHERE {_OF_LEVEL} AND {wanted}", (*piece, *shorter))
            for piece in map(_level, pieces(from_us, to_us, kind.levels))
            if piece[0]
        ]
        return bool(parts) and bool(every_once(f"{_union(parts)} LIMIT 1", _values(parts)))

    # --- parts of a statement ---------------------------------------------------------------------------------------

    def _parts(
        self,
        kind: TotalsTable | None,
        of: Sequence[str],
        from_us: int,
        to_us: int,
        shown: Sequence[object] = (),
    ) -> Iterator[_Select]:
        """What has to be added up for a time; with `shown`, of these groups only."""
        if kind is None:
            yield self._xdrs(of, "", "", _within("?", "?"), from_us, to_us, shown=shown)
            return
        for piece in pieces(from_us, to_us, kind.levels):
            if piece.hours:
                yield self._totals(kind, of, _level(piece), shown)
            else:
                old, values = f"x.id + 0 <= ? AND {_within('?', '?')}", (piece.from_us, piece.to_us)
                yield self._xdrs(of, "", "", old, self._until, *values, shown=shown)
        new = "x.id > ?" if self._few else "x.id + 0 > ?"
        new += f" AND {_within('?', '?', by_index=not self._few)}"
        yield self._xdrs(of, "", "", new, self._until, from_us, to_us, shown=shown)

    def _totals(
        self, kind: TotalsTable, of: Sequence[str], level: tuple[int, int, int], shown: Sequence[object]
    ) -> _Select:
        columns = ", ".join(f"t.{name}" for name in (*of, "currency", "cost_currency", *SUMS))
        where, values = self._filters("t", of, shown)
        sql = f"SELECT {columns} FROM {kind.source} WHERE {_OF_LEVEL}{where}"
        return _Select(sql, (*level, *values))

    def _of_spans(self, kind: TotalsTable, hours: Sequence[tuple[int, int, int]]) -> _Select:
        """The totals of the whole hours of each span; PostgreSQL needs their beginning and end, or reads them all."""
        columns = ", ".join(f"t.{name}" for name in ("currency", "cost_currency", *SUMS))
        where, values = self._filters("t", (), ())
        return _Select(
            f"""SELECT h.n, {columns} FROM hour AS h CROSS JOIN {kind.source}
                WHERE {_OF_LEVEL} AND t.from_us >= h.from_us AND t.from_us < h.to_us{where}""",
            (1, hours[0][1], hours[-1][2], *values),
        )

    def _xdrs(
        self, of: Sequence[str], join: str, first: str, where: str, *values: object, shown: Sequence[object] = ()
    ) -> _Select:  # fmt: skip
        """Call records; `join` are tables before or behind them, and `first` a column of these."""
        columns = [f"{OF_XDR[name]} AS {name}" for name in of]
        columns += ["x.currency", "x.cost_currency", *(f"{sql} AS {name}" for name, sql in SUMS.items())]
        columns = [first, *columns] if first else columns
        source = xdr_source(of)
        source = f"{join} {source}" if join.endswith("JOIN") else f"{source} {join}"
        filters, asked = self._filters("x", of, shown)
        sql = f"SELECT {', '.join(columns)} FROM {source} WHERE {where}{filters}"
        return _Select(sql, (*values, *asked))

    def _filters(
        self, table: str, of: Sequence[str], shown: Sequence[object]
    ) -> tuple[str, tuple[object, ...]]:
        """What is added to a WHERE about `t`, the totals, or `x`, the call records."""
        where, values = "", list[object](self._asked.values())
        for name in self._asked:
            where += f" AND {table}.{name} = ?"
        if self._prefix:
            begins = [f"substr({table}.prefix, 1, ?) = ?"]
            # Numbers that were forgotten still have the prefix they were charged by.
            begins += ["substr(x.number, 1, ?) = ?"] if table == "x" else []
            where += f" AND ({' OR '.join(begins)})"
            values += [len(self._prefix), self._prefix] * len(begins)
        if shown:
            # Not to be found by: those of one may be most of all.
            column = OF_XDR[of[0]] if table == "x" else f"t.{of[0]}"
            where += f" AND {column} + 0 IN ({', '.join('?' * len(shown))})"
            values += shown
        return where, tuple(values)

    @staticmethod
    def _names(named: _Named, parts: Sequence[_Select]) -> list[tuple[str, Row]]:
        """The sums of each group, by its name."""
        rows = _grouped(parts, (named.of,))
        found = every_once(f"SELECT {named.name}, g.* FROM ({rows.sql}) AS g {named.tables}", rows.values)
        return [(name or "", _row(rest)) for name, _, *rest in found]


_OF_LEVEL = "t.hours = ? AND t.from_us >= ? AND t.from_us < ?"


def _level(piece: Any) -> tuple[int, int, int]:
    return piece.hours, piece.from_us, piece.to_us


def _within(from_: str, to: str, *, by_index: bool = True) -> str:
    """The condition that a call record ended in a time; otherwise it is found by its id, and not by its end."""
    ended = "x.ended_at_us" if by_index else "x.ended_at_us + 0"
    return f"{ended} >= {from_} AND {ended} < {to}"


def _hours_and_edges(spans: Sequence[tuple[int, int, int]]) -> dict[str, list[tuple[int, int, int]]]:
    """The whole hours of each span, and what is left of it at its ends; by the name that statements have for them."""
    found: dict[str, list[tuple[int, int, int]]] = {}
    for n, from_us, to_us in spans:
        for piece in pieces(from_us, to_us, (1,)):
            name = "hour" if piece.hours else "edge"
            found.setdefault(name, []).append((n, piece.from_us, piece.to_us))
    return found


def _grouped(
    parts: Sequence[_Select], of: Sequence[str], tables: dict[str, list[tuple[int, int, int]]] | None = None
) -> _Select:
    """All parts added up by these; `tables` are times that they name."""
    groups = ", ".join((*of, "currency", "cost_currency"))
    sums = ", ".join(f"SUM({name}) AS {name}" for name in SUMS)
    times = [
        f"{name} (n, from_us, to_us) AS (VALUES {', '.join(['(?, ?, ?)'] * len(rows))})"
        for name, rows in (tables or {}).items()
    ]
    given = [value for rows in (tables or {}).values() for row in rows for value in row]
    begin = f"WITH {', '.join(times)} " if times else ""
    sql = f"{begin}SELECT {groups}, {sums} FROM ({_union(parts)}) AS p GROUP BY {groups}"
    return _Select(sql, (*given, *_values(parts)))


def _union(parts: Sequence[_Select]) -> str:
    return " UNION ALL ".join(part.sql for part in parts)


def _values(parts: Sequence[_Select]) -> tuple[object, ...]:
    return tuple(value for part in parts for value in part.values)


def _row(values: Sequence[Any]) -> Row:
    currency, cost_currency, *sums = values
    return Row(currency, cost_currency, tuple(map(int, sums)))
