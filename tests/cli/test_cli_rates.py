"""Rates: one by one, from files, and explained."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from command_line import SUBSCRIBER, CommandLine

HEADER = "prefix,description,connect_fee,first_interval,first_price,next_interval,next_price,forbidden\n"


def rates(shop: CommandLine) -> dict[str, Any]:
    return {rate["prefix"]: rate for rate in shop.ok("rate", "list", "retail", "--json").json}


def file(shop: CommandLine, content: str | bytes) -> Path:
    path = shop.folder / "rates.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# --- one by one ------------------------------------------------------------------------------------------------


def test_a_rate_without_options_is_charged_by_the_second_without_a_fee(shop: CommandLine) -> None:
    rate = rates(shop)["420"]
    assert rate.pop("from").endswith("Z")
    assert rate == {
        "description": "Czechia",
        "prefix": "420",
        "connect_fee": "0.00",
        "connect_fee_micros": 0,
        "first_interval_s": 1,
        "first_price": "0.12",
        "first_price_micros": 120_000,
        "next_interval_s": 1,
        "next_price": "0.12",
        "next_price_micros": 120_000,
        "off_peak_first_price": None,
        "off_peak_first_price_micros": None,
        "off_peak_next_price": None,
        "off_peak_next_price_micros": None,
        "forbidden": False,
        "discontinued": False,
    }


def test_a_rate_is_added_with_everything_then_changed_in_part_and_removed(shop: CommandLine) -> None:
    shop.ok(
        "rate", "add", "retail", "44", "0.20", "--next-price", "0.10", "--connect-fee", "0.05", "--first-interval",
        "60", "--next-interval", "6", "--description", "UK", "--forbidden",
    )  # fmt: skip
    shop.ok("rate", "set", "retail", "44", "--next-price", "0.08", "--allowed")
    uk = rates(shop)["44"]
    assert (uk["first_price"], uk["next_price"], uk["connect_fee"]) == ("0.20", "0.08", "0.05")
    assert (uk["first_interval_s"], uk["next_interval_s"], uk["forbidden"]) == (60, 6, False)
    assert uk["description"] == "UK"
    shop.ok("rate", "remove", "retail", "44")
    assert "44" not in rates(shop)


def test_rates_are_listed_by_prefix(shop: CommandLine) -> None:
    shop.ok("rate", "add", "retail", "44", "0.20")
    assert "Czechia" not in shop.ok("rate", "list", "retail", "--prefix", "4").out.replace("Czechia", "", 1)
    assert [r["prefix"] for r in shop.ok("rate", "list", "retail", "--prefix", "44", "--json").json] == ["44"]


# --- from files ------------------------------------------------------------------------------------------------


def test_prefix_and_price_are_enough(shop: CommandLine) -> None:
    out = shop.ok("rate", "import", "retail", file(shop, "first_price,prefix\n0.5,1\n0.6,44\n")).out
    assert out.startswith("2 were added, 0 were changed, 0 unchanged\n")
    assert rates(shop)["44"]["next_price"] == "0.60"
    assert "420" in rates(shop)  # what is not in the file stays


def test_every_column_counts(shop: CommandLine) -> None:
    shop.ok("rate", "import", "retail", file(shop, HEADER + "4490,Premium,0.10,30,1,6,0.9,yes\n"))
    premium = rates(shop)["4490"]
    assert premium["forbidden"] is True
    assert (premium["connect_fee"], premium["first_interval_s"], premium["next_interval_s"]) == (
        "0.10",
        30,
        6,
    )
    assert (premium["first_price"], premium["next_price"]) == ("1.00", "0.90")


def test_a_dry_run_shows_the_difference_and_changes_nothing(shop: CommandLine) -> None:
    shop.ok("rate", "add", "retail", "1", "0.5")
    path = file(shop, "prefix,first_price,description\n420,0.10,Czechia\n44,0.20,UK\n1,0.5,\n")
    before = shop.dump()
    out = shop.ok("rate", "import", "retail", path, "--dry-run").out
    assert shop.dump() == before
    assert "+ 44 description UK" in out
    assert "~ 420 first_price 0.12 -> 0.10, next_price 0.12 -> 0.10\n" in out
    assert "1 would be added, 1 would be changed, 1 unchanged" in out
    diff = shop.ok("rate", "import", "retail", path, "--dry-run", "--json").json
    assert [rate["prefix"] for rate in diff["added"]] == ["44"]
    assert (diff["changed"][0]["old"]["first_price"], diff["changed"][0]["new"]["first_price"]) == (
        "0.12",
        "0.10",
    )
    assert (diff["same"], diff["dry_run"]) == (1, True)


def test_an_import_repeated_changes_nothing_more(shop: CommandLine) -> None:
    path = file(shop, "prefix,first_price\n420,0.10\n44,0.20\n")
    shop.ok("rate", "import", "retail", path)
    before = shop.dump()
    assert "0 were added, 0 were changed, 2 unchanged" in shop.ok("rate", "import", "retail", path).out
    assert shop.dump() == before


def test_what_spreadsheets_write_is_read(shop: CommandLine) -> None:
    text = '\ufeffPrefix, Description ,first_price\r\n\r\n"44","Cities, ""all""",0.2\r\n,,\r\n 45 ,Dänemark,0.3\r\n'
    shop.ok("rate", "import", "retail", file(shop, text))
    assert rates(shop)["44"]["description"] == 'Cities, "all"'
    assert rates(shop)["45"]["description"] == "Dänemark"


def test_every_bad_line_is_listed_with_its_number_and_nothing_is_changed(shop: CommandLine) -> None:
    before = shop.dump()
    result = shop(
        "rate",
        "import",
        "retail",
        file(
            shop,
            HEADER + "44,,,,0.20,,,\n"  # good
            "44,,,,0.30,,,\n"
            "045,,,,0.20,,,\n"
            "\n"
            "46,,,,,,,\n"
            "47,,,,-0.1,,,\n"
            "48,,x,,0.1,,,\n"
            "49,,,0,0.1,,,\n"
            "50,,,6.5,0.1,,,\n"
            "51,,,,0.1,,,maybe\n"
            "52,0.1\n"
            "53,,,,0.1,,,,,x\n"
            "5\u0664,,,,0.1,,,\n"
            "5555555555555555,,,,0.1,,,\n"
            '54,"two\nlines",,,0.1,,,maybe\n'
            "55,\x1b[31m,,,0.1,,,\n"
            "56,,,,99999999999,,,\n"
            "57,,,٦,0.1,,,\n",
        ),
    )
    assert (result.code, result.out) == (2, "")
    assert shop.dump() == before
    *lines, last = result.err.splitlines()
    assert [int(line.split()[1].rstrip(":")) for line in lines] == [
        3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20,
    ]  # fmt: skip
    assert lines[0] == "line 3: prefix 44 is already on line 2"
    assert all(line.isprintable() for line in lines)
    assert last.endswith("16 of 17 lines are invalid, so nothing was changed")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n\n \n", "is empty"),
        (b"prefix,first_price\n", "has no rates"),
        (b"420,0.10\n44,0.2\n", "none of the first lines names a column"),
        (b"prefix,first_price,colour\n1,2,3\n", "column 'colour' is not known: add --ignore 'colour'"),
        (b"prefix,prefix,first_price\n1,1,2\n", "can both be the prefix"),
        (b"prefix,description\n1,x\n", "first_price"),
        (b"\x7fELF\x02\x01\x01\x00\x00\xff\xfe\x80", "is not a text"),
        (b"\x00" * 1000, "is not a text"),
        (b"prefix,first_price\n420," + b"9" * 200_000 + b"\n", "1 of 1 lines"),
        (b'prefix,first_price\n420,"0.1\n44,0.2\n', "1 of 1 lines"),
    ],
)
def test_files_that_hold_no_rates_are_refused(shop: CommandLine, content: bytes, why: str) -> None:
    before = shop.dump()
    result = shop("rate", "import", "retail", file(shop, content))
    assert (result.code, result.out) == (2, "")
    assert why in result.err.splitlines()[-1]
    assert shop.dump() == before


def test_what_is_no_file_is_refused(shop: CommandLine) -> None:
    assert "No such file" in shop.refused("rate", "import", "retail", "missing.csv")
    assert "Is a directory" in shop.refused("rate", "import", "retail", shop.folder)
    assert "too large" in shop.refused("rate", "import", "retail", "/dev/zero")


def test_an_unknown_tariff_is_refused_before_anything_is_changed(shop: CommandLine) -> None:
    path = file(shop, "prefix,first_price\n1,2\n")
    assert "unknown tariff 'none'" in shop.refused("rate", "import", "none", path)


def test_a_whole_world_of_rates_is_imported(shop: CommandLine) -> None:
    lines = [f"{prefix},0.{prefix % 97 + 1:02d}" for prefix in range(100_000, 120_000)]
    path = file(shop, "prefix,first_price\n" + "\n".join(lines))
    assert "20000 were added" in shop.ok("rate", "import", "retail", path).out
    assert len(shop.ok("rate", "list", "retail", "--json").json) == 20_001


# --- explained -------------------------------------------------------------------------------------------------


def test_a_charge_is_explained_step_by_step(shop: CommandLine) -> None:
    shop.ok(
        "rate", "add", "retail", "4202", "0.20", "--next-price", "0.10", "--connect-fee", "0.05", "--first-interval",
        "60", "--next-interval", "7", "--description", "Prague",
    )  # fmt: skip
    told = shop.ok("rate", "explain", "+420212345678", "--account", SUBSCRIBER, "--seconds", "125").out
    assert told.splitlines() == [
        "420212345678 is rated by tariff retail, prefix 4202 (Prague), a longer match than 420",
        "connect fee: 0.05",
        "first interval: 60 s at 0.20 a minute = 0.20",
        "next intervals: 65 s are 10 x 7 s = 70 s at 0.10 a minute = 0.11666666...",
        "rounding: 0.36666666... up to a multiple of 0.000001, adds 0.00000033...",
        "125 s of talk cost 0.366667 USD",
    ]
    same = shop.ok(
        "rate", "explain", "420212345678", "--account", "420777111222", "--seconds", "125", "--json"
    ).json
    assert (same["amount"], same["amount_micros"], same["prefix"]) == ("0.366667", 366_667, "4202")


def test_a_call_that_is_not_answered_is_explained_to_cost_nothing(shop: CommandLine) -> None:
    out = shop.ok("rate", "explain", "420212345678", "--account", SUBSCRIBER, "--seconds", "0").out
    assert "unanswered call is free\n0 s of talk cost 0.00 USD" in out


def test_what_is_never_dialled_is_said_to_be_so(shop: CommandLine) -> None:
    shop.ok("rate", "add", "retail", "4209", "5", "--forbidden")
    words = ("--account", SUBSCRIBER, "--seconds", "60")
    assert "no rate for 999123: the number cannot be called" in shop.refused(
        "rate", "explain", "999123", *words
    )
    assert "forbids prefix 4209" in shop.refused("rate", "explain", "420900123", *words)


def test_the_parts_sum_up_to_the_charge(shop: CommandLine) -> None:
    shop.ok("rate", "add", "retail", "44", "0.20", "--next-price", "0.10", "--next-interval", "7")
    for seconds in ("0", "1", "8", "125"):
        words = ("rate", "explain", "442071234567", "--tariff", "retail", "--seconds", seconds, "--json")
        told = shop.ok(*words, "--at", "2027-01-04T12:00").json
        assert sum(Fraction(part) for part in told["parts"].values()) == told["amount_micros"]
        assert told["start_at"] == "2027-01-04T12:00:00.000Z"


def test_funds_buy_the_longest_talk_of_both_legs_and_not_a_second_more(shop: CommandLine) -> None:
    shop.ok("rate", "add", "retail", "44", "0.60")
    words = (
        "rate",
        "simulate",
        "--funds",
        "10",
        "--from",
        SUBSCRIBER,
        "--to",
        "442071234567",
        "--ring",
        "10",
    )
    told = shop.ok(*words, "--account", SUBSCRIBER, "--json").json
    # 0.002 and 0.01 a second, 10 s of leg A before: (10 - 0.02) / 0.012
    assert (told["talk_s"], told["leg_a_s"]) == (831, 841)
    assert (told["leg_a"], told["leg_b"], told["left"]) == ("1.682", "8.31", "0.008")
    assert (told["leg_a_alone_s"], told["leg_a_alone"]) == (5000, "10.00")
    assert "one more second would cost 10.004 USD" in shop.ok(*words, "--tariff", "retail").out
    assert "limited to 60 s" in shop.ok(*words, "--tariff", "retail", "--limit", "60").out
    poor = shop.ok(*words, "--tariff", "retail", "--funds", "0.01").out
    assert "no call: 0.01 USD is less than" in poor
    assert "leg A alone: 5 s (0:00:05) for 0.01 USD" in poor


def test_one_tariff_has_to_count(shop: CommandLine) -> None:
    for command in (
        ["explain", "420123", "--seconds", "1"],
        ["simulate", "--funds", "1", "--from", "420123", "--to", "420123"],
    ):
        for words in (
            [],
            ["--tariff", "retail", "--account", SUBSCRIBER],
            ["--tariff", "retail", "--access-code", "A"],
        ):
            assert "give either --account ID" in shop.refused("rate", *command, *words)
        assert "unknown tariff" in shop.refused("rate", *command, "--tariff", "none")
    bad = ["rate", "simulate", "--from", "420123", "--to", "420123", "--tariff", "retail", "--funds"]
    for funds in ("-1", "x"):
        shop.refused(*bad, funds)


def test_what_a_price_list_does_not_sell(shop: CommandLine) -> None:
    out = shop.ok("rate", "import", "retail", file(shop, "first_price,prefix\n0.5,1\n0.9,1876\n")).out
    assert "the rate for 1 does not sell" in out
    rows = {
        row["kind"]: row
        for row in shop.ok("rate", "check", "retail", "--json").json["not_sold"]
        if row["prefix"] == "1"
    }
    assert set(rows) == {"other_country", "premium", "personal"}
    assert {"BS", "DO"} < set(rows["other_country"]["countries"])
    assert "JM" not in rows["other_country"]["countries"]
    assert "other_country" in shop.ok("rate", "check", "retail").out

    explain = ("rate", "explain", "+1 900 555 1234", "--tariff", "retail", "--seconds", "60")
    assert "it is a premium rate number" in shop.refused(*explain)
    assert "--open premium" in shop.refused(*explain)
    assert shop.ok("tariff", "set", "retail", "--open", "premium,other_country").out == (
        "tariff retail: opened none -> premium, other_country\n"
    )
    assert shop.ok("tariff", "show", "retail", "--json").json["opened"] == ["premium", "other_country"]
    shop.ok(*explain)
    kinds = {
        row["kind"]
        for row in shop.ok("rate", "check", "retail", "--json").json["not_sold"]
        if row["prefix"] == "1"
    }
    assert kinds == {"personal"}
    shop.ok("tariff", "set", "retail", "--open", "none")
    shop.refused(*explain)
    assert "use one or more of" in shop.refused("tariff", "set", "retail", "--open", "emergency")
    assert "emergency number: it is never called" in shop.refused(
        "rate", "explain", "112", "--tariff", "retail", "--seconds", "60"
    )


@pytest.mark.parametrize("prefix", ["0", "00", "011", "0044"])
def test_prefixes_that_can_never_match_are_refused(shop: CommandLine, prefix: str) -> None:
    assert "is not a prefix" in shop.refused("rate", "add", "retail", prefix, "0.1")
    result = shop("rate", "import", "retail", file(shop, f"prefix,first_price\n{prefix},0.1\n"))
    if prefix == "0044":  # in a list it is the prefix 44
        assert result.code == 0
        assert "44" in rates(shop)
    else:
        assert (result.code, "line 2" in result.err) == (2, True)
