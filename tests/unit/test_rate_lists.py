"""Rate lists as carriers send them: each shape becomes exactly what it says, or is refused with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from openpyxl import Workbook

from stasis_callback.admin.days import since_us
from stasis_callback.admin.rates.file import texts_of
from stasis_callback.admin.rates.lists import BadLines, rate_list
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.rate_columns import Profile, parse_columns
from stasis_callback.store.rates.spool import NewRate, Spool

Told = dict[str, str]


def read(path: Path, profile: Profile = Profile(), currency: str = "USD") -> tuple[list[NewRate], list[str]]:  # noqa: B008
    """The rates of a list and what was found out about it. Raises InvalidInput with the bad lines."""
    bad: list[str] = []
    with rate_list(path, profile, currency) as rates, Spool() as spool:
        try:
            rates.read(spool.add, None, bad.append)
        except BadLines:
            raise InvalidInput("; ".join(bad)) from None
        return [entry.new for entry in spool.entries()], rates.said


def told(new: NewRate) -> str:
    """A rate in one line: prefix, name, prices, intervals, and what is not usual."""
    own = texts_of(new.rate)
    price = own["first_price"]
    if own["next_price"] != price:
        price += "+" + own["next_price"]
    words = [own["prefix"], new.description, price, f"{own['first_interval']}/{own['next_interval']}"]
    words += [f"fee {own['connect_fee']}"] if own["connect_fee"] != "0.00" else []
    off_peak = own["off_peak_first_price"], own["off_peak_next_price"]
    words += [f"off-peak {'/'.join(off_peak)}"] if any(off_peak) else []
    words += ["forbidden"] if new.rate.forbidden else []
    words += ["withdrawn"] if new.rate.discontinued else []
    words += [f"from {new.from_us}"] if new.from_us else []
    return " | ".join(filter(None, words))


def at(text: str) -> str:
    return f"from {since_us(text, ZoneInfo('UTC'))}"


def of(columns: str = "", ignore: Sequence[str] = (), **more: str | bool) -> Profile:
    return Profile(columns=parse_columns(columns), ignore=tuple(ignore), **more)  # type: ignore[arg-type]


A2B = (
    "dialprefix;destination;rate initial;buyrate;initblock\n"
    "39;italy mobile;0.0912;0.0415;30\n48;poland;0.03;0.02;60\n"
)
PORTA = (
    "+ or -,Destination,Country,Description,Interval First,Interval Next,Price First,Price Next,"
    "Off-peak Interval First,Off-peak Interval Next,Off-peak Price First,Off-peak Price Next,"
    "Forbidden,Hidden,Discontinued,Effective from\n"
    "+,36,HUNGARY,Proper,60,6,0.07,0.06,60,6,0.05,0.04,,,,\n"
    "-,3670,HUNGARY,Mobile,60,6,0.2,0.2,60,6,0.2,0.2,,,,\n"
    "+,3690,HUNGARY,Premium,1,1,0,0,1,1,0,0,Y,,,\n"
)

SHAPES: dict[str, tuple[bytes | str, Profile, list[str]]] = {
    "our own": ("prefix,description,first_price\n39,Italy,0.05\n", of(), ["39 | Italy | 0.05 | 1/1"]),
    "A2Billing, selling": (A2B, of(), ["39 | italy mobile | 0.0912 | 30/30", "48 | poland | 0.03 | 60/60"]),
    "A2Billing, buying": (
        A2B,
        of(cost=True),
        ["39 | italy mobile | 0.0415 | 30/30", "48 | poland | 0.02 | 60/60"],
    ),
    "A2Billing, with both blocks": (
        "dialprefix;destination;rateinitial;initblock;billingblock;connectcharge\n39;italy;0.09;30;6;0.01\n",
        of(),
        ["39 | italy | 0.09 | 30/6 | fee 0.01"],
    ),
    "PortaBilling": (
        PORTA,
        of(),
        [
            "36 | HUNGARY Proper | 0.07+0.06 | 60/6 | off-peak 0.05/0.04",
            "3670 | HUNGARY Mobile | 0.20 | 60/6 | off-peak 0.20/0.20 | withdrawn",
            "3690 | HUNGARY Premium | 0.00 | 1/1 | off-peak 0.00/0.00 | forbidden",
        ],
    ),
    "semicolon and decimal comma": (
        "prefix;description;first_price\n39;Italien;0,0835\n1;USA;0,01\n",
        of(),
        ["1 | USA | 0.01 | 1/1", "39 | Italien | 0.0835 | 1/1"],
    ),
    "comma and quoted decimal comma": ('prefix,first_price\n39,"0,25"\n', of(), ["39 | 0.25 | 1/1"]),
    "unclear commas beside a clear one": (
        "prefix;first_price\n39;1,250\n48;0,5\n",
        of(),
        ["39 | 1.25 | 1/1", "48 | 0.50 | 1/1"],
    ),
    "thousands": ('prefix,first_price\n39,"1,250.50"\n', of(), ["39 | 1250.50 | 1/1"]),
    "tabs": ("prefix\tdescription\tfirst_price\n39\tItaly\t0.05\n", of(), ["39 | Italy | 0.05 | 1/1"]),
    "pipes": ("prefix|description|first_price\n39|Italy|0.05\n", of(), ["39 | Italy | 0.05 | 1/1"]),
    "a line that names the delimiter": (
        "sep=;\r\nprefix;first_price\r\n39;0.05\r\n",
        of(),
        ["39 | 0.05 | 1/1"],
    ),
    "byte order mark and CRLF": (
        b"\xef\xbb\xbfprefix,description,first_price\r\n39,Italy,0.05\r\n",
        of(),
        ["39 | Italy | 0.05 | 1/1"],
    ),
    "old Mac line ends": (
        b"prefix,first_price\r39,0.05\r48,0.06\r",
        of(),
        ["39 | 0.05 | 1/1", "48 | 0.06 | 1/1"],
    ),
    "Latin 1": (
        "prefix,description,first_price\n262,Réunion,0.05\n".encode("latin-1"),
        of(),
        ["262 | Réunion | 0.05 | 1/1"],
    ),
    "an encoding that is given": (
        "prefix,description,first_price\n7,Россия,0.05\n".encode("cp1251"),
        of(encoding="cp1251"),
        ["7 | Россия | 0.05 | 1/1"],
    ),
    "Unicode text of Excel": (
        "prefix\tdescription\tfirst_price\r\n262\tRéunion\t0.05\r\n".encode("utf-16"),
        of(),
        ["262 | Réunion | 0.05 | 1/1"],
    ),
    "UTF-16 without a mark": (
        "prefix\tfirst_price\r\n39\t0.05\r\n".encode("utf-16-le"),
        of(),
        ["39 | 0.05 | 1/1"],
    ),
    "several prefixes in a cell": (
        'prefix,first_price\n"39, 393",0.05\n"48;485",0.06\n',
        of(),
        ["39 | 0.05 | 1/1", "393 | 0.05 | 1/1", "48 | 0.06 | 1/1", "485 | 0.06 | 1/1"],
    ),
    "areas behind a code": (
        'description,prefix,first_price\nItaly,"39 02,06-07",0.05\n',
        of(),
        ["3902 | Italy | 0.05 | 1/1", "3906 | Italy | 0.05 | 1/1", "3907 | Italy | 0.05 | 1/1"],
    ),
    "a range": ("prefix,first_price\n4850-4852,0.05\n", of(), [f"485{n} | 0.05 | 1/1" for n in range(3)]),
    "codes in two columns": (
        'Country Code,Area Codes,Rate\n61,"2,3",0.05\n64,,0.06\n',
        of(),
        ["612 | 0.05 | 1/1", "613 | 0.05 | 1/1", "64 | 0.06 | 1/1"],
    ),
    "plus, 00 and marked as text": (
        'prefix,first_price\n+39,0.05\n0048,0.06\n\'36,0.07\n="43",0.08\n',
        of(),
        ["36 | 0.07 | 1/1", "39 | 0.05 | 1/1", "43 | 0.08 | 1/1", "48 | 0.06 | 1/1"],
    ),
    "both intervals in one cell": (
        "prefix,first_price,first_interval,next_interval\n39,0.05,60/6,\n48,0.05,30/30,30\n",
        of(),
        ["39 | 0.05 | 60/6", "48 | 0.05 | 30/30"],
    ),
    "one column of increments": (
        "Code;Destination;Rate;Increment\n39;Italy;0.05;60/1\n48;Poland;0.05;60\n36;Hungary;0.05;1+1\n",
        of(),
        ["36 | Hungary | 0.05 | 1/1", "39 | Italy | 0.05 | 60/1", "48 | Poland | 0.05 | 60/60"],
    ),
    "intervals that are given": ("Code,Rate\n39,0.05\n", of(intervals="60/30"), ["39 | 0.05 | 60/30"]),
    "two dates of a prefix": (
        "prefix,first_price,from\n39,0.05,2999-01-01\n39,0.06,2999-02-01T00:00+01:00\n",
        of(),
        [f"39 | 0.05 | 1/1 | {at('2999-01-01')}", f"39 | 0.06 | 1/1 | {at('2999-01-31T23:00')}"],
    ),
    "dates that can only be one": (
        "prefix,first_price,effective date\n36,0.1,31/12/2999\n39,0.1,12/31/2999\n43,0.1,2999/12/31\n"
        "48,0.1,31-Dec-2999\n"
        '49,0.1,"Dec 31, 2999"\n50,0.1,immediately\n',
        of(),
        [f"{n} | 0.10 | 1/1 | {at('2999-12-31')}" for n in (36, 39, 43, 48, 49)] + ["50 | 0.10 | 1/1"],
    ),
    "day first": (
        "prefix,first_price,from\n39,0.1,01/12/2999\n",
        of(dates="dmy"),
        [f"39 | 0.10 | 1/1 | {at('2999-12-01')}"],
    ),
    "month first, two digits of the year, local time": (
        "prefix,first_price,from\n39,0.1,01/12/99\n",
        of(dates="mdy", time_zone="Europe/Prague"),
        [f"39 | 0.10 | 1/1 | {at('2099-01-11T23:00')}"],
    ),
    "lines above the names": (
        "Rates of Carrier Y,,\nin USD,,\n\nprefix,description,first_price\n39,Italy,0.05\n",
        of(),
        ["39 | Italy | 0.05 | 1/1"],
    ),
    "words below": (
        "prefix,description,first_price\n39,Italy,0.05\nAll prices without tax,,\n",
        of(),
        ["39 | Italy | 0.05 | 1/1"],
    ),
    "more than six decimals": (
        "prefix,first_price,next_price\n39,0.01234567,0.5\n48,0.123456789012,\n36,0.1000000000,\n",
        of(),
        ["36 | 0.10 | 1/1", "39 | 0.01234567+0.50 | 1/1", "48 | 0.123456789012 | 1/1"],
    ),
    "per second": ("Prefix,Price per second\n39,0.0005\n", of(), ["39 | 0.03 | 1/1"]),
    "per second, as the profile says": (
        "Prefix,Rate\n39,0.00012345\n",
        of(per="second"),
        ["39 | 0.007407 | 1/1"],
    ),
    "cents": ("Code,Rate (cents/min)\n39,5.25\n", of(), ["39 | 0.0525 | 1/1"]),
    "the currency in the name": ("Code,Rate USD/min\n39,0.05\n", of(), ["39 | 0.05 | 1/1"]),
    "the currency in each price": (
        "Code,Rate\n39,$0.05\n48,0.06 USD\n36,USD 0.07\n",
        of(),
        ["36 | 0.07 | 1/1", "39 | 0.05 | 1/1", "48 | 0.06 | 1/1"],
    ),
    "a column of currencies": ("Code,Rate,Currency\n39,0.05,usd\n", of(), ["39 | 0.05 | 1/1"]),
    "words for forbidden": (
        "prefix,first_price\n39,Blocked\n48,N/A\n",
        of(),
        ["39 | 0.00 | 1/1 | forbidden", "48 | 0.00 | 1/1 | forbidden"],
    ),
    "what changed": (
        "Code,Rate,Status\n36,0.1,Increase\n39,0.1,No change\n43,,Removed\n48,,Blocked\n",
        of(),
        ["36 | 0.10 | 1/1", "39 | 0.10 | 1/1", "43 | 0.00 | 1/1 | withdrawn", "48 | 0.00 | 1/1 | forbidden"],
    ),
    "no-break spaces and line ends": (
        'prefix,description,first_price\n\xa039,"Italy\xa0-\r\nmobile\u200b",\xa00.05\xa0\n',
        of(),
        ["39 | Italy - mobile | 0.05 | 1/1"],
    ),
    "columns by name": (
        "Kod;Gdzie;Ile\n39;Włochy;0,05\n",
        of("prefix=kod,description=Gdzie,first_price=Ile"),
        ["39 | Włochy | 0.05 | 1/1"],
    ),
    "columns by number, without names": (
        "List of 2027\n39;0.05;Italy\n48;0.06;Poland\n",
        of("prefix=1,first_price=2,description=3", delimiter=";"),
        ["39 | Italy | 0.05 | 1/1", "48 | Poland | 0.06 | 1/1"],
    ),
    "columns that do not matter": (
        "Code,Rate,Quality,Change\n39,0.05,A,+3%\n",
        of(ignore=["quality", "4"]),
        ["39 | 0.05 | 1/1"],
    ),
    "old and new price": ("Code,Old rate,New rate\n39,0.05,0.06\n", of(), ["39 | 0.06 | 1/1"]),
    "German": (
        "Vorwahl;Land;Preis €/Min.;Takt;Gültig ab\n39;Italien;0,05;60/60;31.12.2999\n",
        of(),
        [f"39 | Italien | 0.05 | 60/60 | {at('2999-12-31')}"],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_becomes_what_it_says(tmp_path: Path, shape: str) -> None:
    content, profile, expected = SHAPES[shape]
    path = tmp_path / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    rates, _ = read(path, profile, "EUR" if shape == "German" else "USD")
    assert [told(new) for new in rates] == expected


REFUSED: dict[str, tuple[bytes | str, Profile, str]] = {
    "the same prefix twice": (
        "prefix,first_price\n+39,0.05\n0039,0.06\n",
        of(),
        "line 3: prefix 39 is already on line 2",
    ),
    "a prefix in a range and alone": (
        "prefix,first_price\n390-395,0.05\n393,0.06\n",
        of(),
        "line 3: prefix 393 is already on",
    ),
    "a date of two readings": (
        "prefix,first_price,from\n39,0.1,01/12/2999\n",
        of(),
        "line 2: from '01/12/2999' can be 2999-12-01 or 2999-01-12: add --dates dmy",
    ),
    "a date of another order": (
        "prefix,first_price,from\n39,0.1,31/12/2999\n",
        of(dates="mdy"),
        "is not a date",
    ),
    "a date without its century": (
        "prefix,first_price,from\n39,0.1,31/12/26\n",
        of(),
        "does not say what is the year",
    ),
    "the number of a day": ("prefix,first_price,from\n39,0.1,46357\n", of(), "is not a date"),
    "a negative price": ("prefix,first_price\n39,-1\n", of(), "first_price '-1' is negative"),
    "a comma for two things": (
        "prefix;first_price\n39;1,250\n",
        of(),
        "could be a decimal comma or thousands: add --decimal",
    ),
    "a point beside commas": (
        "prefix;first_price\n39;0,5\n48;1.250\n",
        of(),
        "line 3: first_price '1.250' could be 1250 or 1,250",
    ),
    "commas and points": ("prefix;first_price\n39;0,5\n48;0.5\n", of(), "so the decimal sign is not clear"),
    "another currency": ("Code,Rate EUR\n39,0.05\n", of(), "is in EUR, but the tariff is in USD"),
    "another currency in a price": ("Code,Rate\n39,€0.05\n", of(), "line 2: first_price the price is in €"),
    "another currency in its column": (
        "Code,Rate,Currency\n39,0.05,GBP\n",
        of(),
        "line 2: the price is in GBP",
    ),
    "a range of two lengths": (
        "prefix,first_price\n1-242,0.05\n",
        of(),
        "'1-242' is not a range of prefixes",
    ),
    "a range that is too large": (
        "prefix,first_price\n390000-399999,0.05\n",
        of(),
        "at most 1000 in one range",
    ),
    "a prefix with a space": ("prefix,first_price\n44 7400,0.05\n", of(), "write 447400 or 44,7400"),
    "a prefix of a spreadsheet": (
        "prefix,first_price\n3.9E+11,0.05\n",
        of(),
        "that a spreadsheet has shortened",
    ),
    "a code of another plan": ("prefix,first_price\n01139,0.05\n", of(), "is not a prefix"),
    "a first interval alone": (
        "Code,Rate,Minimum duration\n39,0.05,60\n",
        of(),
        "there is no next one: add --intervals",
    ),
    "intervals that contradict": (
        "prefix,first_price,first_interval,next_interval\n39,1,60/60,6\n",
        of(),
        "contradict",
    ),
    "other intervals off-peak": (PORTA.replace("60,6,0.05", "60,1,0.05"), of(), "they must be the same"),
    "a price that ends": (
        "Code,Rate,Valid until\n39,0.05,2999-01-01\n",
        of(),
        "the price ends at '2999-01-01'",
    ),
    "an unknown word": ("Code,Rate,Status\n39,0.05,Maybe\n", of(), "action 'Maybe' is not known"),
    "an unknown column": ("Code,Rate,Quality\n39,0.05,A\n", of(), "add --ignore 'Quality'"),
    "two prices": ("Code,Rate,Price\n39,0.05,0.06\n", of(), "can both be the first_price"),
    "cents and no cents": ("Code,Rate (cents),Next price\n39,5,0.05\n", of(), "some prices are in cents"),
    "buying prices only": ("Code,Buy rate\n39,0.05\n", of(), "add --cost"),
    "no buying prices": ("Code,Rate\n39,0.05\n", of(cost=True), "leave out --cost"),
    "a name that is not there": ("Code,Rate\n39,0.05\n", of("prefix=Dial"), "the list has no column 'Dial'"),
    "no names at all": ("39,0.05\n48,0.06\n", of(), "--columns 'prefix=Code,first_price=Rate'"),
    "Cyrillic without its encoding": (
        "prefix,description,first_price\n7,Россия,0.05\n".encode("cp1251"),
        of(),
        "add --encoding",
    ),
    "too many decimals": ("prefix,first_price\n39,0.1234567890123\n", of(), "at most 12 decimals"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, of(), "an old Excel file"),
    "a page": (b"<html><table><tr><td>39</td></tr></table>", of(), "is HTML or XML"),
    "an archive": (b"PK\x03\x04 and so on", of(), "none of the first lines"),
    "a wrong encoding": (
        "prefix,description,first_price\n262,Réunion,0.05\n".encode("latin-1"),
        of(encoding="utf-8"),
        "is not in encoding utf-8",
    ),
    "an unquoted decimal comma": ("prefix,first_price\n39,0,25\n", of(), "line 2: it has 3 fields"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_mean_two_things_is_refused(tmp_path: Path, case: str) -> None:
    content, profile, why = REFUSED[case]
    path = tmp_path / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidInput) as refusal:
        read(path, profile)
    assert why in str(refusal.value)


def test_what_was_found_out_is_said(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(
        "Côte list;;;\nCode;Destination;Rate/min;Comment\n225;Côte d'Ivoire;0,08;new\n".encode("latin-1")
    )
    _, said = read(path)
    assert said == [
        "encoding: Windows-1252, because it is not UTF-8; for example 'Côte list;;;'",
        "delimiter: a semicolon",
        "prices: decimal comma",
        "columns: prefix=Code, description=Destination, first_price=Rate/min",
        "prices: in USD per minute",
        "intervals: 1/1, because the list names none",
        "not read: columns Comment",
        "not read: line 1: Côte list",
    ]
    path.write_text("prefix,description,first_price\n225,Côte d'Ivoire,0.08\n")
    assert read(path)[1] == []


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    book = Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_is_read_as_it_looks(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        ["Rates of Carrier Z"],
        [],
        ["Code", "Destination", "Rate", "Effective date", "Increment"],
        [39, "Italy\nmobile", 0.1 + 0.2, datetime(2999, 12, 1, 6), "60/6"],
        ["0048", "Poland", "0.000031", date(2999, 12, 1), 60],
        [36.0, None, 0.00003, None, "1/1"],
    ]
    path = workbook(tmp_path / "list.xlsx", Cover=[["Dear customer"]], Prices=rows)
    rates, said = read(path)
    assert [told(new) for new in rates] == [
        "36 | 0.00003 | 1/1",
        f"39 | Italy mobile | 0.30 | 60/6 | {at('2999-12-01T06:00')}",
        f"48 | Poland | 0.000031 | 60/60 | {at('2999-12-01')}",
    ]
    assert said[:2] == ["format: .xlsx", "sheet: Prices"]
    assert "not read: line 1: Rates of Carrier Z" in said


def test_a_workbook_that_is_not_clear_is_refused(tmp_path: Path) -> None:
    rows: list[list[object]] = [["Code", "Rate"], [39, 0.05]]
    two = workbook(tmp_path / "two.xlsx", Gold=rows, Silver=rows)
    with pytest.raises(InvalidInput, match="several sheets have rates: add --sheet"):
        read(two)
    assert [told(new) for new in read(two, of(sheet="Silver"))[0]] == ["39 | 0.05 | 1/1"]
    with pytest.raises(InvalidInput, match="has no sheet 'Bronze': it has Gold, Silver"):
        read(two, of(sheet="Bronze"))
    formula = workbook(tmp_path / "formula.xlsx", Prices=[["Code", "Rate"], [39, "=0.05*2"]])
    with pytest.raises(InvalidInput, match="a formula without a value"):
        read(formula)
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(two.read_bytes()[:-200] + two.read_bytes()[-100:])
    with pytest.raises(InvalidInput):
        read(broken)
