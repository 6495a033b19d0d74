"""Lists of carriers from the first to the next one: profiles, complete lists, dates, and the way back and out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import CommandLine

from stasis_callback.core.rating import Rate
from stasis_callback.store.rates.tariffs import NewRate

JANUARY, MARCH = "2999-01-01", "2999-03-01"


def prices(shop: CommandLine, *options: str) -> dict[str, str]:
    rows = shop.ok("rate", "list", "retail", "--json", *options).json
    return {rate["prefix"]: rate["first_price"] for rate in rows}


def file(shop: CommandLine, text: str, name: str = "list.csv") -> Path:
    path = shop.folder / name
    path.write_text(text)
    return path


def test_the_buying_prices_of_a_list_are_imported_when_they_are_asked_for(shop: CommandLine) -> None:
    both = file(shop, "dialprefix,destination,rateinitial,buyrate\n39,Italy,0.0835,0.0335\n")
    for options, price in (((), "0.0835"), (("--cost",), "0.0335")):
        shop.ok("rate", "import", "retail", both, *options)
        assert prices(shop)["39"] == price


# --- profiles ---------------------------------------------------------------------------------------------------


def test_what_one_list_needed_is_kept_for_the_next(shop: CommandLine) -> None:
    first = file(shop, "Dial;Gdzie;Price;Quality;Start\n39;Italia;0,05;A;01/02/2999\n")
    words = ("rate", "import", "retail", first)
    assert "none of the first lines" in shop.refused(*words)
    assert "unknown profile 'tele'" in shop.refused(*words, "--profile", "tele")
    known = ("--columns", "prefix=Dial,description=Gdzie,from=Start", "--ignore", "quality", "--dates", "dmy")
    told = shop.ok(*words, *known, "--profile", "tele", "--dry-run").out.splitlines()
    assert told[:6] == [
        "delimiter: a semicolon",
        "prices: decimal comma",
        "columns: prefix=Dial, description=Gdzie, first_price=Price, from=Start",
        "prices: in USD per minute",
        "intervals: 1/1, because the list names none",
        "not read: columns Quality",
    ]
    assert "unknown profile 'tele'" in shop.refused(*words, "--profile", "tele")  # a dry run keeps nothing
    assert "profile: kept as tele\n" in shop.ok(*words, *known, "--profile", "tele").out
    assert prices(shop, "--at", "2999-02-01") == {"39": "0.05", "420": "0.12"}

    second = file(shop, "Dial;Gdzie;Price;Quality;Start\n48;Polska;0,06;B;02/02/2999\n")
    told = shop.ok("rate", "import", "retail", second, "--profile", "tele", "--json").json
    assert told["added"][0]["from"] == "2999-02-02T00:00:00.000Z"
    assert "columns: prefix=Dial, description=Gdzie, first_price=Price, from=Start" in told["read_as"]

    shop.ok("rate", "profile", "set", "tele", "--dates", "mdy", "--time-zone", "Europe/Prague")
    shown = shop.ok("rate", "profile", "show", "tele", "--json").json
    assert (shown["dates"], shown["columns"]["prefix"], shown["ignore"]) == ("mdy", "Dial", ["quality"])
    assert [row["name"] for row in shop.ok("rate", "profile", "list", "--json").json] == ["tele"]
    shop.ok("rate", "profile", "remove", "tele")
    assert "unknown profile" in shop.refused("rate", "profile", "remove", "tele")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--columns", "price=Rate"), "does not name a column"),
        (("--columns", "prefix"), "does not name a column"),
        (("--columns", "prefix=0,first_price=1"), "numbered from 1"),
        (("--dates", "ydm"), "--dates 'ydm' is invalid: use dmy or mdy"),
        (("--decimal", ","), "use point or comma"),
        (("--delimiter", "space"), "use comma or semicolon or tab or pipe"),
        (("--per", "hour"), "use minute or second"),
        (("--intervals", "60"), "write the first and the next one, like 60/6"),
        (("--intervals", "0/0"), "each from 1 to 3600 seconds"),
        (("--intervals", "60/0"), "each from 1 to 3600 seconds"),
        (("--intervals", "1/3601"), "each from 1 to 3600 seconds"),
        (("--time-zone", "Prague"), "is not a time zone"),
        (("--encoding", "klingon"), "encoding 'klingon' is not known"),
        (("--sheet", "Prices"), "is not an .xlsx file"),
    ],
)
def test_options_that_say_nothing_are_refused(shop: CommandLine, options: tuple[str, ...], why: str) -> None:
    path = file(shop, "prefix,first_price\n39,0.05\n")
    assert why in shop.refused("rate", "import", "retail", path, *options)
    if options[0] not in ("--encoding", "--sheet"):
        assert why in shop.refused("rate", "profile", "set", "tele", *options)
    assert "nothing to change" in shop.refused("rate", "profile", "set", "tele")


@pytest.mark.parametrize(
    ("columns", "cells", "which"),
    [
        ("First interval,Next interval", "0,6", "first"),
        ("First interval,Next interval", "6,0", "next"),
        ("Increment", "0/6", "first"),
        ("Increment", "6/0", "next"),
        ("Increment", "0", "first"),
    ],
)
def test_an_interval_of_nothing_is_refused(shop: CommandLine, columns: str, cells: str, which: str) -> None:
    path = file(shop, f"Code,Destination,Rate,{columns}\n39,Italy,0.05,{cells}\n")
    before = shop.dump()
    refused = shop("rate", "import", "retail", path)
    assert (refused.code, shop.dump()) == (2, before)
    assert f"line 2: {which} interval of 0 s is invalid" in refused.err


# --- complete lists, and the way back -----------------------------------------------------------------------------


def test_what_a_complete_list_does_not_have_is_withdrawn_and_comes_back(shop: CommandLine) -> None:
    shop.ok("rate", "import", "retail", file(shop, "prefix,first_price\n1,0.1\n39,0.2\n48,0.3\n"))
    shop.ok("rate", "set", "retail", "48", "--first-price", "0.4", "--from", MARCH)
    before, later = prices(shop), prices(shop, "--at", MARCH)
    path = file(shop, "prefix,first_price\n39,0.25\n49,0.5\n")
    shown = shop.ok("rate", "import", "retail", path, "--replace", "--dry-run").out.splitlines()
    assert [line[:4].strip() for line in shown[:6]] == ["- 1", "~ 39", "- 42", "- 48", "- 48", "+ 49"]
    assert shown[6] == "1 would be added, 1 would be changed, 4 would be removed, 0 unchanged"
    assert prices(shop) == before
    shop.ok("rate", "import", "retail", path, "--replace", "--note", "A-Z of 2027")
    assert prices(shop) == prices(shop, "--at", MARCH) == {"39": "0.25", "49": "0.50"}
    assert shop.ok("rate", "import", "retail", path, "--replace").out.startswith(
        "0 were added, 0 were changed, 2 unch"
    )
    number = shop.ok("rate", "history", "retail", "--json").json[0]["number"]
    told = shop.ok("rate", "rollback", "retail", str(number - 1)).out
    assert told == "4 were added, 1 were changed, 1 were removed\n"
    assert (prices(shop), prices(shop, "--at", MARCH)) == (before, later)


def test_a_complete_list_of_one_date_withdraws_on_that_date(shop: CommandLine) -> None:
    shop.ok("rate", "import", "retail", file(shop, "prefix,first_price\n1,0.1\n39,0.2\n"))
    path = file(shop, f"prefix,first_price,from\n39,0.25,{JANUARY}\n49,0.5,{JANUARY}\n")
    shop.ok("rate", "import", "retail", path, "--replace")
    assert prices(shop) == {"1": "0.10", "39": "0.20", "420": "0.12"}
    assert prices(shop, "--at", JANUARY) == {"39": "0.25", "49": "0.50"}


def test_a_complete_list_of_several_dates_has_to_say_when(shop: CommandLine) -> None:
    shop.ok("rate", "import", "retail", file(shop, "prefix,first_price\n1,0.1\n39,0.2\n"))
    path = file(shop, f"prefix,first_price,from\n39,0.25,{JANUARY}\n39,0.3,{MARCH}\n420,0.5,\n")
    assert "add --from, when" in shop.refused("rate", "import", "retail", path, "--replace")
    shop.ok("rate", "import", "retail", path, "--replace", "--from", "now")
    assert prices(shop) == {"39": "0.20", "420": "0.50"}
    assert prices(shop, "--at", JANUARY) == {"39": "0.25", "420": "0.50"}
    assert prices(shop, "--at", MARCH) == {"39": "0.30", "420": "0.50"}


def test_a_later_price_that_is_as_today_ends_one_in_between(shop: CommandLine) -> None:
    path = file(shop, f"prefix,first_price,from\n420,0.05,{JANUARY}\n420,0.12,{MARCH}\n")
    told = shop.ok("rate", "import", "retail", path).out
    assert told.startswith("0 were added, 2 were changed, 0 unchanged\n")
    assert [prices(shop, "--at", day)["420"] for day in (JANUARY, MARCH)] == ["0.05", "0.12"]


# --- more than six decimals -----------------------------------------------------------------------------------------


def test_a_price_of_many_decimals_is_kept_shown_and_charged_exactly(shop: CommandLine) -> None:
    shop.ok(
        "rate", "import", "retail", file(shop, "prefix,first_price,next_price\n39,0.00000001,0.012345678\n")
    )
    [rate] = shop.ok("rate", "list", "retail", "--prefix", "39", "--json").json
    assert (rate["first_price"], rate["next_price"]) == ("0.00000001", "0.012345678")
    assert (rate["first_price_micros"], rate["next_price_micros"]) == (0.01, 12345.678)
    told = shop.ok("rate", "explain", "390612345678", "--tariff", "retail", "--seconds", "61").out
    assert "at 0.012345678 a minute" in told
    assert told.endswith("61 s of talk cost 0.012346 USD\n")  # 0.01234567816..., rounded up once
    exported = shop.ok("rate", "export", "retail").out
    assert "39,,0.00000001,0.00,1,1,0.012345678,,,no\n" in exported
    assert "0 were added, 0 were changed" in shop.ok("rate", "import", "retail", file(shop, exported)).out
    shop.ok("rate", "set", "retail", "39", "--first-price", "0.5")
    assert prices(shop)["39"] == "0.50"
    assert "at most 12 decimals" in shop.refused("rate", "add", "retail", "48", "0.0000000000001")
    assert "at this precision" in shop.refused("rate", "add", "retail", "48", "5000.000000000001")


# --- out ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        ("--profile", "portabilling"),
        ("--columns", "prefix=Code,first_price=Rate,next_price=Next price,intervals=Increment,connect_fee=Fee,"
         "off_peak_first_price=OP1,off_peak_next_price=OP2,forbidden=Forbidden,description=Destination",
         "--delimiter", "semicolon", "--decimal", "comma"),
        ("--columns", "prefix=2,description=1,first_price=3,next_price=4,first_interval=5,next_interval=6,"
         "connect_fee=7,off_peak_first_price=8,off_peak_next_price=9,forbidden=10", "--delimiter", "tab"),
    ],
)  # fmt: skip
def test_a_list_goes_out_in_the_form_in_which_it_came(shop: CommandLine, options: tuple[str, ...]) -> None:
    fee = 0 if options[1] == "portabilling" else 20_000
    with shop.stores() as stores:
        stores.tariffs.change_terms("retail", {"off_peak": "sat; sun"})
        stores.tariffs.put_rates(
            "retail",
            [
                NewRate(Rate("225", fee, 60, 120_000, 6, 60_000, 50_000, 40_000), "Côte d'Ivoire"),
                NewRate(
                    Rate("39", first_price_micros=1_234_567, next_price_micros=1_234_567, price_minutes=100),
                    "Italy",
                ),
                NewRate(Rate("4490", forbidden=True), "Premium"),
            ],
        )
    path = shop.folder / "out.csv"
    path.write_text(shop.ok("rate", "export", "retail", *options).out)
    reading = () if options[1] == "portabilling" else options
    told = shop.ok("rate", "import", "retail", path, *reading, "--replace").out
    assert told.splitlines()[-1] == "0 were added, 0 were changed, 4 unchanged"


def test_what_a_form_cannot_say_is_refused(shop: CommandLine) -> None:
    shop.ok("rate", "set", "retail", "420", "--next-price", "0.2")
    words = ("rate", "export", "retail", "--columns")
    assert shop.ok(*words, "prefix=Code,first_price=Rate,next_price=Next price").out == (
        "Code,Rate,Next price\n420,0.12,0.20\n"
    )
    assert (
        "has next_price 0.20, for which the profile has no column"
        in shop(*words, "prefix=Code,first_price=Rate").err
    )
    assert "can be read, but cannot be written" in shop.refused(
        *words, "area_code=A,country_code=B,first_price=C"
    )
    assert "needs a column for the prefix" in shop.refused(*words, "description=Name")
    shop.ok("rate", "set", "retail", "420", "--next-price", "0.12")
    assert (
        shop.ok(*words, "prefix=Code,first_price=Rate per second").out == "Code,Rate per second\n420,0.002\n"
    )
    assert shop.ok(*words, "prefix=Code,first_price=Rate (cents)").out == "Code,Rate (cents)\n420,12\n"
    assert shop.ok("rate", "export", "retail", "--profile", "a2billing").out == (
        "dialprefix;destination;rateinitial;initblock;billingblock;connectcharge\n420;Czechia;0.12;1;1;0.00\n"
    )
    shop.ok("rate", "set", "retail", "420", "--first-price", "0.1", "--next-price", "0.1")
    assert "cannot be written per second exactly" in shop(*words, "prefix=Code,first_price=Rate/sec").err
    shop.ok("rate", "set", "retail", "420", "--description", "Чехия")
    assert "cannot be written in cp1252" in shop("rate", "export", "retail", "--encoding", "cp1252").err


def test_long_lists_are_printed_as_short_ones_are(shop: CommandLine) -> None:
    with shop.stores() as stores:
        stores.tariffs.put_rates(
            "retail", [NewRate(Rate(str(n), first_price_micros=n)) for n in range(1000, 7200)]
        )
    listed = shop.ok("rate", "list", "retail", "--json")
    assert len(listed.json) == 6201
    assert listed.out == json.dumps(listed.json, indent=2, ensure_ascii=False) + "\n"
    path = file(shop, "prefix,first_price\n" + "".join(f"{n},0.5\n" for n in range(1000, 3000)))
    told = shop.ok("rate", "import", "retail", path, "--replace", "--dry-run", "--json")
    assert [len(told.json[kind]) for kind in ("added", "changed", "removed")] == [0, 2000, 4201]
    assert told.out == json.dumps(told.json, indent=2, ensure_ascii=False) + "\n"
    assert shop.ok("rate", "list", "retail", "--json", "--prefix", "9999").out == "[]\n"
