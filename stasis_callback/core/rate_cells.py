"""The cells of a rate list as carriers write them: prefixes, prices, intervals, dates, words.

Nothing is guessed that could mean two things: such a cell raises InvalidInput, with a sentence that says what to do.
What only the whole list shows (its decimal sign) or only people know (the order of day and month) is given by `How`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import parse_price
from stasis_callback.core.numbers import checked_prefix

RANGE_LIMIT = 1000
"""The most prefixes that one cell may stand for."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class How:
    """How the cells of one list are to be read."""

    currency: str
    """The currency of the tariff: a price that names another is refused."""
    decimal: str = "."
    dates: str = ""
    """The order of numeric dates, `dmy` or `mdy`; "" if nobody has said it."""
    zone: tzinfo = UTC
    """For dates without a zone."""
    per_second: bool = False
    cents: bool = False


def neat(text: str) -> str:
    """The text in one line: no-break spaces and line ends are spaces, what is not seen is removed."""
    if text.isascii() and text.isprintable():
        return text.strip()
    kept = (c for c in text if c.isspace() or unicodedata.category(c) != "Cf")
    return " ".join("".join(kept).split())


# --- prefixes --------------------------------------------------------------------------------------------------

_LIST = re.compile(r"[0-9+ ]+(?:[,;/][0-9+ ]+)*", re.ASCII)
_AREA = r"[0-9]+(?:-[0-9]+)?"
_CODE_AND_AREAS = re.compile(rf"([1-9][0-9]{{0,2}}) +({_AREA}(?: *[,;] *{_AREA})+)", re.ASCII)
_RANGE = re.compile(r"([0-9]+) ?[-–] ?([0-9]+)", re.ASCII)
_MARKED_AS_TEXT = re.compile(r"'([^']*)|=\"([^\"]*)\"")


def read_prefixes(text: str, country_code: str = "") -> list[str]:
    """The prefixes in a cell: one, several (`44, 441`), a range (`3801-3805`), areas of a code (`61 38,39`).

    A leading `+` or `00` is not part of a prefix. With `country_code`, of a column of its own, these are areas in it.
    """
    if text.isascii() and text.isdigit() and text[0] != "0" and not country_code:
        return [checked_prefix(text)]
    marked = _MARKED_AS_TEXT.fullmatch(text)
    if marked:
        text = (marked[1] or marked[2] or "").strip()
    code = _international(country_code)
    areas = _CODE_AND_AREAS.fullmatch(text) if not code else None
    if areas:
        code, text = areas[1], areas[2]
    found = [prefix for part in re.split(r"[,;/]", text) for prefix in _part(part.strip(), code)]
    if len(found) > RANGE_LIMIT:
        raise InvalidInput(f"{text!r} stands for {len(found)} prefixes: at most {RANGE_LIMIT} in one cell")
    return found


def _part(text: str, code: str) -> list[str]:
    """The prefixes of one part of a cell, behind a country code if one is given."""
    ends = _RANGE.fullmatch(text)
    if ends:
        first, last = (ends[1], ends[2]) if code else (_international(ends[1]), _international(ends[2]))
        return [checked_prefix(code + prefix) for prefix in _between(first, last)]
    if text.startswith("+"):
        return [checked_prefix(code + text.removeprefix("+").replace(" ", ""))]
    if re.fullmatch(r"[0-9]+(?: [0-9]+)+", text, re.ASCII):
        joined, apart = text.replace(" ", ""), text.replace(" ", ",")
        raise InvalidInput(f"{text!r} could be one prefix or several: write {joined} or {apart}")
    if re.fullmatch(r"[0-9.]+E\+?[0-9]+", text, re.ASCII | re.IGNORECASE):
        raise InvalidInput(
            f"{text!r} is a number that a spreadsheet has shortened: format the column as text"
        )
    if code and not text:
        return [checked_prefix(code)]
    return [checked_prefix(code + text if code else _international(text))]


def _international(text: str) -> str:
    """Without `+` or `00`. `011` stays, and is refused: it may be the area 11 of some country."""
    bare = text.removeprefix("+")
    return bare[2:] if bare.startswith("00") and bare[2:3] not in ("", "0") else bare


def _between(first: str, last: str) -> list[str]:
    if len(first) != len(last) or first > last:
        raise InvalidInput(
            f"'{first}-{last}' is not a range of prefixes: write both ends in full, the lower one first"
        )
    count = int(last) - int(first) + 1
    if count > RANGE_LIMIT:
        raise InvalidInput(f"'{first}-{last}' are {count} prefixes: at most {RANGE_LIMIT} in one range")
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


# --- prices ----------------------------------------------------------------------------------------------------

FORBIDDEN_WORDS = frozenset({"blocked", "forbidden", "barred", "not available", "n/a", "na", "n.a."})
_SIGNS = {"$": ("USD",), "€": ("EUR",), "£": ("GBP",), "¥": ("JPY", "CNY")}
_CURRENCY = re.compile(r"([A-Za-z]{3}|[$€£¥]) ?(?=[0-9.,])|(?<=[0-9]) ?([A-Za-z]{3}|[$€£¥])$")
_NUMBERS = {
    ".": re.compile(r"(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+(?=\.))?(?:\.[0-9]+)?", re.ASCII),
    ",": re.compile(r"(?:[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+(?=,))?(?:,[0-9]+)?", re.ASCII),
}
_EITHER = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}", re.ASCII)


def read_price(text: str, how: How) -> Decimal | None:
    """A price per minute; None where the cell says that the prefix is forbidden. At most twelve decimals."""
    if text.lower() in FORBIDDEN_WORDS:
        return None
    if text.startswith(("-", "−")):
        raise InvalidInput(
            f"{text!r} is negative, which is blocked for some and free for others: write Blocked or a price"
        )
    number = _without_currency(text, how.currency)
    if not number or not _NUMBERS[how.decimal].fullmatch(number):
        raise InvalidInput(_no_price(text, number, how.decimal))
    price = parse_price(number.replace("," if how.decimal == "." else ".", "").replace(",", "."))
    return price * (60 if how.per_second else 1) / (100 if how.cents else 1)


def _no_price(text: str, number: str, decimal: str) -> str:
    if _EITHER.fullmatch(number):
        other = number.replace(",", ".") if "," in number else number.replace(".", ",")
        return (
            f"{text!r} could be {number.replace(',', '').replace('.', '')} or {other}, as other prices have a "
            f"decimal {'point' if decimal == '.' else 'comma'}: write it without a sign for thousands"
        )
    wanted = "a decimal point" if decimal == "." else "a decimal comma, as other prices of the list have"
    return f"{text!r} is not a price: write, for example, 0{decimal}12 ({wanted}, at most twelve decimals)"


def decimal_sign(text: str) -> str:
    """What a price shows about the decimal sign of its list: `.` or `,`, "" for nothing, `.?` or `,?` when unclear.

    `1,234` is unclear: the comma may separate thousands.
    """
    number = _CURRENCY.sub("", text).strip()
    signs = [c for c in number if c in ".,"]
    if not signs or number[0] not in "0123456789.,":
        return ""
    if len(set(signs)) == 2:
        return signs[-1]
    if len(signs) > 1:
        return "." if signs[0] == "," else ","
    return f"{signs[0]}?" if _EITHER.fullmatch(number) else signs[0]


def _without_currency(text: str, currency: str) -> str:
    """The number in a price. Raises InvalidInput if its currency is not that of the tariff."""
    found = _CURRENCY.search(text)
    if not found:
        return text
    require_currency((found[1] or found[2]).upper(), currency)
    return (text[: found.start()] + text[found.end() :]).strip()


def require_currency(word: str, currency: str) -> None:
    """Raises InvalidInput unless `word`, a code or a sign like $, means the tariff's currency."""
    if currency not in _SIGNS.get(word, (word.upper(),)):
        raise InvalidInput(
            f"the price is in {word}, but the tariff is in {currency}: import it into a tariff of its currency, or "
            "convert it and remove the currency from the list"
        )


# --- intervals -------------------------------------------------------------------------------------------------

_SECONDS = r"([0-9]{1,9}) ?(?:s|sec|secs|seconds)?\.?"
_INTERVALS = re.compile(rf"{_SECONDS}(?: ?[/+\-] ?{_SECONDS})?", re.ASCII | re.IGNORECASE)


def read_intervals(text: str) -> tuple[int, int | None]:
    """The first interval in seconds, and the next one where the cell names both (`60/6`)."""
    match = _INTERVALS.fullmatch(text)
    if not match:
        raise InvalidInput(f"{text!r} is not a whole number of seconds, nor two like 60/6")
    return int(match[1]), int(match[2]) if match[2] else None


# --- dates -----------------------------------------------------------------------------------------------------

_AT_ONCE = ("now", "immediate", "immediately")
_TIME = r"(?:[ T]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?)?"
_NUMERIC = re.compile(rf"([0-9]{{1,2}})([./\-])([0-9]{{1,2}})\2([0-9]{{4}}|[0-9]{{2}}){_TIME}", re.ASCII)
_YEAR_FIRST = re.compile(rf"([0-9]{{4}})([./])([0-9]{{1,2}})\2([0-9]{{1,2}}){_TIME}", re.ASCII)
_DAY_MONTH = re.compile(rf"([0-9]{{1,2}})[ .\-/]*([A-Za-z]{{3,9}})\.?[ ,\-/]*([0-9]{{4}}){_TIME}", re.ASCII)
_MONTH_DAY = re.compile(rf"([A-Za-z]{{3,9}})\.? *([0-9]{{1,2}}),? +([0-9]{{4}}){_TIME}", re.ASCII)
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip


def read_date(text: str, how: How) -> int:
    """A date or time in microseconds since the epoch; 0 for "immediately".

    ISO 8601, `2027/01/31`, `31 Jan 2027`; `31/01/2027` in the order of `how.dates`, or where only one order makes a
    date.
    """
    if text.lower() in _AT_ONCE:
        return 0
    try:
        moment = _moment(text, how.dates)
    except ValueError:
        moment = None
    if moment is None or not 2000 <= moment.year <= 2999:
        raise InvalidInput(
            f"{text[:40]!r} is not a date: write an ISO 8601 time, for example 2027-01-31 or 2027-01-31T18:00+01:00"
        )
    moment = moment if moment.tzinfo else moment.replace(tzinfo=how.zone)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moment(text: str, order: str) -> datetime | None:
    if match := _YEAR_FIRST.fullmatch(text):
        return _made(match[1], match[3], match[4], match, 5)
    if match := _DAY_MONTH.fullmatch(text):
        return _made(match[3], _month(match[2]), match[1], match, 4)
    if match := _MONTH_DAY.fullmatch(text):
        return _made(match[3], _month(match[1]), match[2], match, 4)
    if match := _NUMERIC.fullmatch(text):
        return _ordered(match, order)
    return datetime.fromisoformat(text) if text.isascii() else None


def _ordered(match: re.Match[str], order: str) -> datetime:
    """A date of which it must be said what is the day: `01/12/2026`."""
    first, second, year = match[1], match[3], match[4]
    if len(year) == 2:
        if not order:
            raise InvalidInput(f"{match[0]!r} does not say what is the year: add --dates dmy or --dates mdy")
        year = f"20{year}"
    days = {}
    for one, (day, month) in (("dmy", (first, second)), ("mdy", (second, first))):
        try:
            days[one] = _made(year, month, day, match, 5)
        except ValueError:
            continue
    if order in days:
        return days[order]
    readings = sorted({f"{day:%Y-%m-%d}" for day in days.values()})
    if order or not readings:
        raise ValueError
    if len(readings) > 1:
        raise InvalidInput(
            f"{match[0]!r} can be {days['dmy']:%Y-%m-%d} or {days['mdy']:%Y-%m-%d}: add --dates dmy (day first) or "
            "--dates mdy (month first)"
        )
    return next(iter(days.values()))


def _made(year: str, month: str | int, day: str, match: re.Match[str], time_group: int) -> datetime:
    hour, minute, second = (int(match[time_group + n] or 0) for n in range(3))
    return datetime(int(year), int(month), int(day), hour, minute, second)


def _month(name: str) -> int:
    """1 to 12 for the English name of a month, in full or its beginning. Raises ValueError."""
    found = [n for n, month in enumerate(_MONTHS, start=1) if month.startswith(name.lower())]
    if name.lower() == "sept":
        found = [9]
    if len(found) != 1:
        raise ValueError
    return found[0]


# --- words -----------------------------------------------------------------------------------------------------

_YES = ("yes", "y", "true", "on", "1", "x")
_NO = ("no", "n", "false", "off", "0")
_ACTIONS = {
    "put": ("+", "add", "added", "new", "increase", "increased", "decrease", "decreased", "change", "changed",
            "no change", "unchanged", "same", "current", "active", "open", "opened", "update", "updated"),
    "remove": ("-", "remove", "removed", "delete", "deleted", "withdrawn", "discontinued", "closed"),
    "forbid": ("blocked", "forbidden", "barred"),
}  # fmt: skip
_ACTION_OF = {word: action for action, words in _ACTIONS.items() for word in words}


def read_yes_or_no(text: str) -> bool:
    """Whether a cell says yes."""
    if text.lower() not in _YES + _NO:
        raise InvalidInput(f"{text!r} is invalid: write yes or no")
    return text.lower() in _YES


def read_action(text: str) -> str:
    """What a list says about a line: `put`, `remove` or `forbid`."""
    action = _ACTION_OF.get(text.lower())
    if action is None:
        raise InvalidInput(f"{text!r} is not known: write + or new, - or removed, or blocked")
    return action
