"""Writes rate lists: our own format, or the shape of a profile. What a shape cannot say is refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from stasis_callback.admin.rates.file import texts_of
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import PRICE_DECIMALS
from stasis_callback.core.rate_columns import OWN, PRICES, Columns, Profile, find_columns

if TYPE_CHECKING:
    from stasis_callback.store.rates.book import RateView

UNWRITTEN = ("discontinued", "from")
"""Columns that effective rates do not have, and our own format therefore omits."""

_LINES_AT_ONCE = 1000
_CANNOT = ("country_code", "area_code", "until")


def written(rates: Iterable[RateView], profile: Profile, currency: str) -> Iterator[bytes]:
    """A rate list, some lines at a time, encoded. Raises InvalidInput if the profile cannot say a rate."""
    shape = _Shape(profile, currency)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=profile.delimiter or ",", lineterminator="\n")
    if shape.header:
        writer.writerow(shape.header)
    for count, view in enumerate(rates, start=1):
        writer.writerow(shape.line(view))
        if count % _LINES_AT_ONCE == 0:
            yield _encoded(text.getvalue(), profile)
            text.seek(0)
            text.truncate()
    yield _encoded(text.getvalue(), profile)


class _Shape:
    """The columns of a list that is written."""

    def __init__(self, profile: Profile, currency: str) -> None:
        self._profile, self._currency = profile, currency
        columns = profile.columns or {name: name for name in OWN if name not in UNWRITTEN}
        if any(name in columns for name in _CANNOT):
            raise InvalidInput(f"a list with {', '.join(_CANNOT)} can be read, but cannot be written")
        if profile.cost:
            bought = {"cost": "first_price", "next_cost": "next_price"}
            columns = {
                bought.get(name, name): place
                for name, place in columns.items()
                if name not in bought.values()
            }
        numbered = {name: int(place) - 1 for name, place in columns.items() if place.isdigit()}
        if numbered and len(numbered) < len(columns):
            raise InvalidInput(
                "the columns are known by name and by number: give all names to write such a list"
            )
        self.header: Sequence[str] = () if numbered else tuple(columns.values())
        self._places: Mapping[str, int] = numbered or {name: place for place, name in enumerate(columns)}
        self._width = max(self._places.values()) + 1
        if not {"prefix", "first_price"} <= set(self._places):
            raise InvalidInput(
                "a list needs a column for the prefix and one for the first_price: add them by --columns"
            )
        self._reading = self._as_read(profile)

    def _as_read(self, profile: Profile) -> Columns:
        """How a list with these names is read again: its names may say that prices are per second, or in cents."""
        named = Profile(columns=dict(zip(self._places, self.header, strict=False)))
        found = find_columns(self.header, named) if self.header else None
        per = profile.per or (found.per if found else "")
        return Columns({}, (), per=per, cents=bool(found and found.cents))

    def line(self, view: RateView) -> list[str]:
        """The fields of a rate."""
        own = texts_of(view.rate) | {
            "description": view.description,
            "action": "+",
            "currency": self._currency,
        }
        own["intervals"] = f"{own['first_interval']}/{own['next_interval']}"
        own["off_peak_first_interval"], own["off_peak_next_interval"] = (
            own["first_interval"],
            own["next_interval"],
        )
        self._require_said(own)
        if own["forbidden"] == "yes" and "forbidden" not in self._places:
            own["first_price"] = "Blocked"
        row = [""] * self._width
        for name, place in self._places.items():
            text = own.get(name, "")
            row[place] = self._price(text, name) if name in PRICES and text not in ("", "Blocked") else text
        return row

    def _require_said(self, own: Mapping[str, str]) -> None:
        """Raises InvalidInput if something of a rate is in no column, and would not be read as it is without."""
        first, _, following = (self._profile.intervals or "1/1").partition("/")
        usual = {
            "connect_fee": "0.00",
            "next_price": own["first_price"],
            "off_peak_first_price": "",
            "off_peak_next_price": "",
            "first_interval": first,
            "next_interval": following,
        }
        both = "intervals" in self._places
        for name, text in usual.items():
            if name in self._places or (both and name.endswith("_interval")):
                continue
            if own[name] != text:
                raise InvalidInput(
                    f"the rate for {own['prefix']} has {name} {own[name]}, for which the profile has no column: "
                    f"add it by --columns, for example '{name}={name}' beside the others"
                )

    def _price(self, text: str, name: str) -> str:
        """A price in the unit of the list."""
        price = Decimal(text) * (100 if self._reading.cents else 1)
        if self._reading.per == "second" and name != "connect_fee":
            per_second = round(price / 60, PRICE_DECIMALS)
            if per_second * 60 != price:
                raise InvalidInput(f"{text} a minute cannot be written per second exactly: add --per minute")
            price = per_second
        shown = text if price == Decimal(text) else f"{price.normalize():f}"
        return shown.replace(".", ",") if self._profile.decimal == "comma" else shown


def _encoded(text: str, profile: Profile) -> bytes:
    encoding = profile.encoding or "utf-8"
    try:
        return text.encode(encoding)
    except LookupError:
        raise InvalidInput(f"encoding {encoding!r} is not known: use, for example, utf-8 or cp1252") from None
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{text[error.start]!r} cannot be written in {encoding}: use --encoding utf-8, or change the description"
        ) from None
