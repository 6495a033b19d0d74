"""Reads rate lists, of our own format and as carriers send them.

A list is read several times from its beginning and never held in memory: to find its columns, to find its decimal
sign, and for its rates. What was found out is said (`RateList.said`); what could mean two things is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

from stasis_callback.admin.context import printable
from stasis_callback.admin.days import operators_zone
from stasis_callback.admin.rates.file import column, rate_of
from stasis_callback.admin.rates.sheets import Row, Sheet, opened, sheets
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.periods import time_zone
from stasis_callback.core.rate_cells import (
    How,
    decimal_sign,
    neat,
    read_action,
    read_date,
    read_intervals,
    read_prefixes,
    read_price,
    read_yes_or_no,
    require_currency,
)
from stasis_callback.core.rate_columns import PRICES, Columns, Profile, find_columns
from stasis_callback.store.rates.changes import NewRate

TITLE_LINES = 50
"""The names of the columns stand in one of the first lines."""


class BadLines(InvalidInput):
    """Some lines are invalid; each has been reported."""

    def __init__(self, path: Path, bad: int, read: int) -> None:
        super().__init__(f"{path}: {bad} of {read} lines are invalid, so nothing was changed")


@contextmanager
def rate_list(path: Path, profile: Profile, currency: str) -> Iterator[RateList]:
    """The rate list in a file, after its columns and its decimal sign have been found.

    Raises InvalidInput if it is not a rate list, or what it says could be read in two ways.
    """
    with opened(path) as file:
        try:
            candidates = sheets(path, file, profile.encoding, profile.delimiter, profile.sheet)
            sheet, columns, header = _found(candidates, profile)
            rates = RateList(path, sheet, columns, header, profile, currency)
        except InvalidInput as error:
            raise InvalidInput(str(error) if str(path) in str(error) else f"{path}: {error}") from None
        yield rates


def _found(candidates: Sequence[Sheet], profile: Profile) -> tuple[Sheet, Columns, int]:
    """The one table with columns that are known, and the line that names them (0: there is none)."""
    found: list[tuple[Sheet, Columns, int]] = []
    errors: list[InvalidInput] = []
    for sheet in candidates:
        try:
            header = _header(sheet, profile)
        except InvalidInput as error:
            errors.append(error)
            continue
        if header:
            found.append((sheet, *header))
    if not found:
        raise (
            errors[0]
            if errors
            else InvalidInput(
                "none of the first lines names a column of prefixes and one of prices: say which they are, for "
                "example --columns 'prefix=Code,first_price=Rate', or by numbers, --columns 'prefix=1,first_price=3'"
            )
        )
    if len(candidates) > 1 and len(found) > 1 and found[0][0].name:
        raise InvalidInput(
            f"several sheets have rates: add --sheet, for example --sheet {found[0][0].name!r}"
        )
    found.sort(key=lambda one: -len(one[1].places))
    if len(found) > 1 and len(found[0][1].places) == len(found[1][1].places):
        raise InvalidInput("there is more than one possible delimiter: add --delimiter")
    return found[0]


def _header(sheet: Sheet, profile: Profile) -> tuple[Columns, int] | None:
    """The columns of a table, and the line that names them; 0 if they are only numbered."""
    for line, row in islice(sheet.rows(), TITLE_LINES):
        columns = None if isinstance(row, str) else find_columns(row, profile)
        if columns and (columns.names or max(columns.places.values()) < len(row)):
            return columns, line if columns.names else 0
    return None


class RateList:
    """A rate list that is being read."""

    def __init__(
        self, path: Path, sheet: Sheet, columns: Columns, header: int, profile: Profile, currency: str
    ) -> None:
        self._path, self._sheet, self._columns, self._header = path, sheet, columns, header
        self._first_line = header + 1
        self._intervals = read_intervals(profile.intervals) if profile.intervals else None
        self.lines = 0
        """How many lines there are."""
        self._skipped: list[str] = []
        self.said = [*sheet.said]
        """What was found out, and is not so in our own format: a sentence each."""
        if columns.currency:
            require_currency(columns.currency, currency)
        self._how = How(
            currency,
            decimal=self._decimal(profile),
            dates=profile.dates,
            zone=time_zone(profile.time_zone) if profile.time_zone else operators_zone(),
            per_second=(profile.per or columns.per) == "second",
            cents=columns.cents,
        )
        self._say()

    def read(
        self,
        take: Callable[[NewRate, int], None],
        from_us: int | None,
        complain: Callable[[str], None],
        progress: Callable[[int], None] = lambda _done: None,
    ) -> None:
        """Pass each rate with its line to `take`, which may refuse it by InvalidInput.

        `from_us` is the start of rates that give no time. Each invalid line is passed to `complain` as a sentence; at
        the end they raise BadLines. `progress` is called with the number of lines read so far.
        """
        read = bad = 0
        for line, row in self._rows():
            read += 1
            try:
                if isinstance(row, str):
                    raise InvalidInput(row)
                for new in self._rates(row, from_us):
                    take(new, line)
            except InvalidInput as error:
                bad += 1
                complain(f"line {line}: {error}")
            progress(read)
        if bad:
            raise BadLines(self._path, bad, read)
        if not read:
            raise InvalidInput(f"{self._path} has no rates: write one line per rate below the column names")

    # --- lines ---------------------------------------------------------------------------------------------------

    def _rows(self) -> Iterator[tuple[int, Row]]:
        """The lines with rates."""
        for line, row in self._sheet.rows():
            if line >= self._first_line and (isinstance(row, str) or not _is_remark(row)):
                yield line, row

    def _decimal(self, profile: Profile) -> str:
        """The decimal sign. Finds the first line with a price, if no line names the columns."""
        asked = {"point": ".", "comma": ","}.get(profile.decimal, "")
        places = [self._columns.places[name] for name in PRICES if name in self._columns.places]
        lines: dict[str, tuple[int, str]] = {}
        begun = bool(self._header)
        for line, row in self._sheet.rows():
            self.lines += 1
            if isinstance(row, str):
                continue
            if not begun and self._is_rate(row):
                begun, self._first_line = True, line
            if not begun or line < self._first_line or _is_remark(row):
                self._skip(line, row)
                continue
            for place in places:
                sign = decimal_sign(neat(row[place])) if place < len(row) else ""
                if sign and sign not in lines:
                    lines[sign] = line, neat(row[place])
        return asked or _the_decimal_sign(lines)

    def _skip(self, line: int, row: Sequence[str]) -> None:
        """Report a line that is not a rate: titles and remarks may matter to the operator."""
        if line != self._header and len(self._skipped) < TITLE_LINES:
            self._skipped.append(f"not read: line {line}: {' '.join(filter(None, map(neat, row)))[:80]}")

    def _is_rate(self, row: Sequence[str]) -> bool:
        """Whether a line of a list without names of columns has a prefix and some digit for its price."""
        places = self._columns.places
        try:
            texts = {name: neat(row[place]) for name, place in places.items()}
            _prefixes(texts)
        except (IndexError, InvalidInput):
            return False
        return any(character.isdigit() for character in texts.get("first_price", ""))

    def _say(self) -> None:
        columns, how = self._columns, self._how
        if how.decimal == ",":
            self.said.append("prices: decimal comma")
        if not columns.own:
            names = (
                f"{name}={neat(columns.names[place]) if columns.names else place + 1}"
                for name, place in sorted(columns.places.items(), key=lambda one: one[1])
            )
            self.said.append(f"columns: {', '.join(names)}")
            cents, time = "hundredths of " * how.cents, "second" if how.per_second else "minute"
            self.said.append(f"prices: in {cents}{how.currency} per {time}")
            if not {"first_interval", "next_interval", "intervals"} & set(columns.places):
                first, following = self._intervals or (1, 1)
                self.said.append(f"intervals: {first}/{following or first}, because the list names none")
        elif how.per_second:
            self.said.append(f"prices: in {how.currency} per second")
        if columns.ignored:
            self.said.append(f"not read: columns {', '.join(columns.ignored)}")
        self.said += self._skipped

    # --- one line ------------------------------------------------------------------------------------------------

    def _rates(self, row: Sequence[str], from_us: int | None) -> Iterator[NewRate]:
        """The rates of a line, one for each of its prefixes. Raises InvalidInput, which names the column."""
        width = len(self._columns.names) or max(self._columns.places.values()) + 1
        if len(row) < width and self._columns.names and not self._sheet.name:
            raise InvalidInput(f"it has {len(row)} fields, but {width} columns are named")
        if self._columns.names and any(cell.strip() for cell in row[width:]):
            raise InvalidInput(f"it has {len(row)} fields, but {width} columns are named")
        texts = {name: neat(row[place]) for name, place in self._columns.places.items() if place < len(row)}
        if texts.get("currency"):
            require_currency(texts["currency"], self._how.currency)
        if texts.get("until"):
            raise InvalidInput(
                f"the price ends at {texts['until']!r}, which cannot be kept: add --ignore for this column if the "
                "next list replaces it"
            )
        fields = self._translated(texts)
        description = printable(_name(texts), "description")
        begins = column(texts, "from", lambda text: read_date(text, self._how), None)
        for prefix in _prefixes(texts):
            # "now" is not a date: the rate begins at once.
            yield NewRate(
                rate_of(fields | {"prefix": prefix}),
                description,
                from_us if begins is None else begins or None,
            )

    def _translated(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The fields of a line as our own format has them."""
        fields: dict[str, str] = {}
        action = column(texts, "action", read_action, "put")
        forbidden = column(texts, "forbidden", read_yes_or_no, False) or action == "forbid"
        for name in ("first_price", "next_price", "off_peak_first_price", "off_peak_next_price"):
            if texts.get(name):
                price = column(texts, name, lambda text: read_price(text, self._how), None)
                forbidden = forbidden or price is None
                fields[name] = "" if price is None else f"{price:f}"
        if texts.get("connect_fee"):
            once = replace(self._how, per_second=False)
            fee = column(texts, "connect_fee", lambda text: read_price(text, once), None)
            fields["connect_fee"] = "" if fee is None else f"{fee.normalize():f}"
        if forbidden and not fields.get("first_price"):
            fields["first_price"] = "0"
        if action == "remove" or column(texts, "discontinued", read_yes_or_no, False):
            fields["discontinued"] = "yes"
        fields["forbidden"] = "yes" if forbidden else "no"
        first, following = self._intervals_of(texts)
        return fields | {"first_interval": str(first), "next_interval": str(following)}

    def _intervals_of(self, texts: Mapping[str, str]) -> tuple[int, int]:
        """The two intervals of a line in seconds."""
        both = column(texts, "intervals", read_intervals, None)
        first = column(texts, "first_interval", read_intervals, None)
        following = column(texts, "next_interval", read_intervals, None)
        if both:
            first = (both[0], both[0] if both[1] is None else both[1])
        if following and (following[1] or (first and first[1] and first[1] != following[0])):
            raise InvalidInput(
                "the intervals contradict each other: write the first and the next one, each once"
            )
        usual = self._intervals or (None, None)
        first_s = first[0] if first else usual[0] if usual[0] is not None else 1
        if following:
            next_s: int | None = following[0]
        elif first:
            next_s = _given(first[1], usual[1], first_s if self._columns.one_interval else None)
        else:
            next_s = _given(usual[1], usual[0])
        if next_s is None and first and not self._columns.own:
            raise InvalidInput(
                f"the first interval is {first_s} s, but there is no next one: add --intervals, for example "
                f"--intervals {first_s}/{first_s}"
            )
        next_s = 1 if next_s is None else next_s
        self._require_same_off_peak(texts, first_s, next_s)
        return first_s, next_s

    @staticmethod
    def _require_same_off_peak(texts: Mapping[str, str], first_s: int, next_s: int) -> None:
        for name, peak_s in (("off_peak_first_interval", first_s), ("off_peak_next_interval", next_s)):
            off = column(texts, name, read_intervals, None)
            if off and off[0] != peak_s:
                raise InvalidInput(
                    f"{name} is {off[0]} s, but the peak one is {peak_s} s: they must be the same"
                )


def _prefixes(texts: Mapping[str, str]) -> list[str]:
    if "area_code" in texts and "country_code" in texts:
        if not texts["country_code"]:
            raise InvalidInput("country_code is missing")
        return read_prefixes(texts["area_code"], texts["country_code"])
    return read_prefixes(texts.get("prefix", ""))


def _name(texts: Mapping[str, str]) -> str:
    """The name of a destination: the country in front of it, unless it begins with that."""
    name, country = texts.get("description", ""), texts.get("country", "")
    return name if name.lower().startswith(country.lower()) else f"{country} {name}".strip()


def _given(*seconds: int | None) -> int | None:
    """The first that is given; 0 is, though it will be refused."""
    return next((one for one in seconds if one is not None), None)


def _is_remark(row: Sequence[str]) -> bool:
    """Whether a line only has some words, as below a table: one field, without digits."""
    filled = [cell for cell in row if cell.strip()]
    return (
        len(row) > 1
        and len(filled) == 1
        and not any(c.isdigit() for c in filled[0])
        and " " in filled[0].strip()
    )


def _the_decimal_sign(lines: Mapping[str, tuple[int, str]]) -> str:
    """The decimal sign of a list, from the first line of each kind of price (see `decimal_sign`)."""
    if "." in lines and "," in lines:
        (point_line, point), (comma_line, comma) = lines["."], lines[","]
        raise InvalidInput(
            f"line {point_line} has {point!r} and line {comma_line} {comma!r}, so the decimal sign is not clear: "
            "correct the list, or add --decimal point or --decimal comma to refuse the others line by line"
        )
    if ",?" in lines and "." not in lines and "," not in lines:
        line, price = lines[",?"]
        raise InvalidInput(
            f"line {line}: {price!r} could be a decimal comma or thousands: add --decimal comma or point"
        )
    return "," if "," in lines else "."
