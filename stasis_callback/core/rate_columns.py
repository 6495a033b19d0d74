"""The columns of a rate list: which of them is which, by their names in lists of carriers and billing systems.

Names that are not known are not guessed: the list is refused until the operator says what the column is, or that
it does not matter (`Profile`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, TypeVar

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.rate_cells import neat

Decimals = Literal["", "point", "comma"]
Dates = Literal["", "dmy", "mdy"]
Per = Literal["", "minute", "second"]
T = TypeVar("T")
_UNKNOWN: Per = ""

DECIMALS: dict[str, Decimals] = {"point": "point", "comma": "comma"}
DATES: dict[str, Dates] = {"dmy": "dmy", "mdy": "mdy"}
PER: dict[str, Per] = {"minute": "minute", "second": "second"}
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""What people may write for them."""

OWN = (
    "prefix", "description", "first_price", "connect_fee", "first_interval", "next_interval", "next_price",
    "off_peak_first_price", "off_peak_next_price", "forbidden", "discontinued", "from",
)  # fmt: skip
"""The columns of the format of `rate export`, in its order."""

MORE = (
    "cost", "next_cost", "country_code", "area_code", "country", "intervals", "off_peak_first_interval",
    "off_peak_next_interval", "action", "until", "currency",
)  # fmt: skip
"""What the lists of others have besides."""

PRICES = (
    "first_price",
    "next_price",
    "off_peak_first_price",
    "off_peak_next_price",
    "connect_fee",
    "cost",
    "next_cost",
)


@dataclass(frozen=True)
class Profile:
    """What is known of the lists of one carrier; "" is found out from each list."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Column by column: the name that stands in the list, or its number from 1 on."""
    ignore: tuple[str, ...] = ()
    """Columns that do not matter, by name or number."""
    encoding: str = ""
    delimiter: str = ""
    sheet: str = ""
    decimal: Decimals = ""
    dates: Dates = ""
    time_zone: str = ""
    per: Per = ""
    intervals: str = ""
    """The intervals of lines that name none, like 60/6."""
    cost: bool = False
    """Read the buying price where a list has both."""

    def but(self, newer: Profile) -> Profile:
        """This profile, with what `newer` says in the place of what it said."""
        given = {f.name: value for f in fields(self) if (value := getattr(newer, f.name))}
        return Profile(**({f.name: getattr(self, f.name) for f in fields(self)} | given))


_NAMES = {
    "prefix": "prefix code codes dialcode|dial code|dial codes|dialprefix|dial prefix|dialing code|dialling code|"
    "destination code|dest code|phone prefix|calling prefix|prefixes|number prefix|breakout|breakouts|vorwahl|"
    "rufnummernpräfix|préfixe|indicatif|prefijo|prefisso|prefixo|předvolba|kierunkowy|префикс|код",
    "country_code": "country code|cc|country prefix|landesvorwahl",
    "area_code": "area code|area codes|areacode|city code|city codes",
    "description": "description|name|destination name|dest name|zone|zone name|region|location|"
    "destination description|bezeichnung|ziel|zielname|libellé|nombre|descripción|descrizione|popis|název|nazwa|"
    "название|направление",
    "destination": "destination|destinations|dest|destino|destinazione",
    "country": "country|country name|land|pays|país|paese|země|kraj|страна",
    "next_price": "next price|price next|rate next|next rate|price n|rate n",
    "off_peak_first_price": "off peak first price|off peak price first|off peak price 1",
    "off_peak_next_price": "off peak next price|off peak price next|off peak price n",
    "first_interval": "first interval|interval first|interval 1|first increment|initial increment|initial interval|"
    "minimum duration|min duration|minimum time|minimal time",
    "next_interval": "next interval|interval next|interval n|next increment|subsequent increment|following increment|"
    "additional increment|billingblock|billing block",
    "initblock": "initblock|init block",
    "intervals": "increment|increments|intervals|interval|billing increment|billing increments|billing|"
    "billing interval|billing terms|takt|taktung",
    "off_peak_first_interval": "off peak interval first|off peak first interval|off peak interval 1",
    "off_peak_next_interval": "off peak interval next|off peak next interval|off peak interval n",
    "forbidden": "forbidden|blocked|forbid",
    "discontinued": "discontinued|withdrawn",
    "action": "+ or|action|change|change type|rate change|status|trend",
    "from": "from|effective from|effective date|effective|effective time|valid from|start date|start time|startdate|"
    "activation date|date|effectivedate|gültig ab|valable dès|válido desde|platí od|действует с",
    "until": "until|valid until|valid to|expires|expiry date|end date|stopdate|stop date|gültig bis|to|valid till",
    "currency": "currency|ccy|währung|devise|moneda|valuta|měna|валюта",
    "nothing": "hidden|comment|comments|remark|remarks|notes|note|old rate|old price|previous rate|previous price|"
    "current rate|current price|iso|iso code|country iso|id|no|nr|line|row",
}  # fmt: skip
_PRICE_NAMES = {
    "first_price": "price|rate|rates|first price|price first|price 1|rate 1|first rate|rate initial|rateinitial|"
    "new rate|new price|sell rate|selling rate|sell price|voice rate|preis|prix|tarif|tariff|precio|prezzo|preço|"
    "cena|цена|тариф|call",
    "connect_fee": "connect fee|connection fee|connect charge|connectcharge|connection charge|setup fee|setup|"
    "call setup|flag fall|flagfall|setup charge",
    "cost": "buyrate|buy rate|buying rate|buy price|cost|cost price|cost rate",
}  # fmt: skip


def _table(names: Mapping[str, str]) -> dict[str, str]:
    """From each written name to the column."""
    own = names.get("prefix", "").split("|")[0].split(" ")  # single words before the first name of two
    found = {name: column for column, words in names.items() for name in words.split("|")}
    return found | {word: "prefix" for word in own if "prefix" in names}


_COLUMN_OF = _table(_NAMES)
_PRICE_OF = _table(_PRICE_NAMES)
_UNITS: tuple[tuple[Per, tuple[str, ...]], ...] = (
    ("minute", ("per minute", "per min", "a minute", "pro minute", "minute", "min")),
    ("second", ("per second", "per sec", "per s", "a second", "pro sekunde", "sec")),
)
_CENTS = ("cents", "cent", "ct", "cts", "¢", "usc")
_CODES = (
    "usd eur gbp chf czk pln cad aud nzd jpy cny hkd sgd sek nok dkk huf ron inr zar brl mxn rub uah try aed "
    "ils thb"
)
_CURRENCIES = (*_CODES.split(), "$", "€", "£", "¥")


@dataclass(frozen=True)
class Columns:
    """The columns of one list, and what their names say about its prices."""

    places: Mapping[str, int]
    """Which field of a line each column is, from 0 on."""
    names: tuple[str, ...]
    """As they stand in the list; empty if it has no line with names."""
    ignored: tuple[str, ...] = ()
    currency: str = ""
    per: Per = ""
    cents: bool = False
    own: bool = False
    """Whether the names are those of `rate export`, so that nothing was guessed."""
    one_interval: bool = False
    """Whether the first interval is meant for the next ones too (`initblock`)."""


def spelled(name: str) -> str:
    """The name of a column without what differs from list to list: case, signs, spaces."""
    return re.sub(r"[^\w%+¢€$£¥]+|_", " ", neat(name).casefold()).strip()


def find_columns(row: Sequence[str], profile: Profile) -> Columns | None:
    """The columns that this line names; None if it does not name both a prefix and a price.

    Raises InvalidInput if it does, but also has a column that is not known, or two that are the same.
    """
    by_number = {column: int(place) - 1 for column, place in profile.columns.items() if place.isdigit()}
    if by_number and len(by_number) == len(profile.columns):
        return Columns(by_number, ())
    found = [_column(name, number, profile) for number, name in enumerate(row)]
    columns = _settled([column for column, _ in found])
    if not _enough(columns, profile.cost):
        return None
    _refuse_unknown(row, columns)
    _refuse_missing(row, profile)
    units = [unit for (_, unit), column in zip(found, columns, strict=True) if column in PRICES]
    if len({unit.cents for unit in units}) > 1:
        raise InvalidInput(
            "some prices are in cents and others are not: import a list with all prices in one unit"
        )
    places = {column: place for place, column in enumerate(columns) if column not in ("", "nothing")}
    places, unread = _bought_or_sold(places, profile.cost)
    return Columns(
        places=places,
        names=tuple(row),
        ignored=tuple(
            neat(row[n]) for n, column in enumerate(columns) if column == "nothing" and neat(row[n])
        )
        + tuple(neat(row[n]) for n in unread),
        currency=_only({unit.currency for unit in units if unit.currency}, "currencies", ""),
        per=_only({unit.per for unit in units if unit.per}, "units of time", _UNKNOWN),
        cents=any(unit.cents for unit in units),
        own=not profile.columns and all(neat(name).lower() in (*OWN, "") for name in row),
        one_interval="initblock" in {column for column, _ in found} and "next_interval" not in places,
    )


@dataclass(frozen=True)
class _Unit:
    """What the name of a price column says besides."""

    currency: str = ""
    per: Per = ""
    cents: bool = False


def _column(name: str, number: int, profile: Profile) -> tuple[str, _Unit]:
    """Which column a name is; "?" if it is not known, "" without a name."""
    mine = {spelled(given): column for column, given in profile.columns.items() if not given.isdigit()}
    mine |= {given: column for column, given in profile.columns.items() if given.isdigit()}
    text, place = spelled(name), str(number + 1)
    if text in map(spelled, profile.ignore) or place in profile.ignore:
        return "nothing", _Unit()
    bare, unit = _unit(spelled(name.replace("/", " per ")))
    given = mine.get(place) or (mine.get(text) if text else None)
    if given:
        return given, unit
    if text in _COLUMN_OF:
        return _COLUMN_OF[text], _Unit()
    if bare in _PRICE_OF or (not bare and unit.per):
        return _PRICE_OF.get(bare, "first_price"), unit
    return ("?" if text else ""), _Unit()


def _unit(text: str) -> tuple[str, _Unit]:
    """The name of a price column without its currency and unit of time, and these."""
    per: Per = ""
    rest = f" {text} "
    for unit, words in _UNITS:
        for word in words:
            if f" {word} " in rest:
                per = unit
                rest = rest.replace(f" {word} ", " ")
    words_left = rest.split()
    currency = next((word.upper() for word in words_left if word in _CURRENCIES), "")
    cents = any(word in _CENTS for word in words_left)
    left = [word for word in words_left if word not in _CURRENCIES and word not in _CENTS and word != "in"]
    return " ".join(left), _Unit(currency, per, cents)


def _settled(columns: list[str]) -> list[str]:
    """With the names that mean one thing beside some columns and another beside others."""
    beside = set(columns)
    meaning = {"initblock": "first_interval"}
    has_prefix = "prefix" in beside or {"country_code", "area_code"} <= beside
    if "destination" in beside:
        if not has_prefix:
            meaning["destination"], has_prefix = "prefix", True
        else:
            meaning["destination"] = "description" if "description" not in beside else "country"
    if "country_code" in beside and "area_code" not in beside:
        meaning["country_code"] = "nothing" if has_prefix else "prefix"
    if "area_code" in beside and "country_code" not in beside and not has_prefix:
        meaning["area_code"] = "prefix"
    if "country_code" in beside and "area_code" in beside and "prefix" in beside:
        meaning |= {"country_code": "nothing", "area_code": "nothing"}
    if "intervals" in beside and "first_interval" in beside:
        meaning["intervals"] = "next_interval"
    return [meaning.get(column, column) for column in columns]


def _enough(columns: Sequence[str], cost: bool) -> bool:
    has_prefix = "prefix" in columns or {"country_code", "area_code"} <= set(columns)
    return has_prefix and ("first_price" in columns or "cost" in columns)


def _refuse_unknown(row: Sequence[str], columns: Sequence[str]) -> None:
    unknown = [neat(name) for name, column in zip(row, columns, strict=True) if column == "?"]
    if unknown:
        raise InvalidInput(
            f"column {unknown[0]!r} is not known: add --ignore {unknown[0]!r} if it does not matter, or say what it "
            f"is, for example --columns 'description={unknown[0]}'"
        )
    for column in {*columns} - {"", "nothing"}:
        same = [neat(name) for name, one in zip(row, columns, strict=True) if one == column]
        if len(same) > 1:
            raise InvalidInput(
                f"columns {same[0]!r} and {same[1]!r} can both be the {column}: say which one with --columns "
                f"'{column}={same[0]}', and add --ignore {same[1]!r}"
            )


def _refuse_missing(row: Sequence[str], profile: Profile) -> None:
    """A name that somebody gave must be in the list: else it is another list, or a typing error."""
    names = {spelled(name) for name in row}
    for column, name in profile.columns.items():
        if not name.isdigit() and spelled(name) not in names:
            raise InvalidInput(f"the list has no column {name!r} for the {column}: correct --columns")
        if name.isdigit() and int(name) > len(row):
            raise InvalidInput(f"the list has no column {name} for the {column}: it has {len(row)}")


def _bought_or_sold(places: dict[str, int], cost: bool) -> tuple[dict[str, int], list[int]]:
    """The places with the price that is wanted as `first_price`, and those of prices that are not."""
    if not cost:
        if "first_price" not in places:
            raise InvalidInput("the list has buying prices only: add --cost to read them")
        unread = [places.pop(name) for name in ("cost", "next_cost") if name in places]
        return places, unread
    if "cost" not in places:
        raise InvalidInput("the list has no column with buying prices: leave out --cost")
    unread = [places.pop(name) for name in ("first_price", "next_price") if name in places]
    places = {{"cost": "first_price", "next_cost": "next_price"}.get(k, k): v for k, v in places.items()}
    return places, unread


def _only(values: set[T], what: str, otherwise: T) -> T:
    if len(values) > 1:
        raise InvalidInput(
            f"the columns name different {what}: {', '.join(sorted(map(str, values)))}; import each price by itself"
        )
    return next(iter(values), otherwise)


# --- what people write ------------------------------------------------------------------------------------------


def parse_columns(text: str) -> dict[str, str]:
    """`prefix=Code,first_price=Rate EUR,description=3`: column by column. Raises InvalidInput."""
    columns: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        column, sign, name = (word.strip() for word in part.partition("="))
        if column not in (*OWN, *MORE) or not sign or not name or column in columns:
            raise InvalidInput(
                f"{part!r} does not name a column: write, for example, --columns 'prefix=Code,first_price=3' with "
                f"names or numbers of the list, each once; columns are {', '.join((*OWN, *MORE))}"
            )
        if name.isdigit() and not 1 <= int(name) <= 500:
            raise InvalidInput(f"{part!r}: columns are numbered from 1 on")
        columns[column] = name
    return columns
