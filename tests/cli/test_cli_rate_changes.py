"""Rates that begin later, files out and in, differences, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stasis_callback.admin.rates.unsold import never_called, prefix_note
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS
from stasis_callback.core.numbering import CALLING_CODES
from stasis_callback.core.rate_cells import neat
from stasis_callback.core.rating import Rate
from stasis_callback.store.rates.tariffs import NewRate

LATER, MUCH_LATER = "2999-01-31T18:00", "2999-06-01T00:00+02:00"


def prices(shop: CommandLine, *options: str) -> dict[str, str]:
    rows = shop.ok("rate", "list", "retail", "--json", *options).json
    return {rate["prefix"]: rate["first_price"] for rate in rows}


def file(shop: CommandLine, text: str) -> Path:
    path = shop.folder / "rates.csv"
    path.write_text(text)
    return path


def test_a_long_tariff_is_listed_a_page_at_a_time(shop: CommandLine) -> None:
    lines = "".join(f"{prefix},0.1\n" for prefix in range(440, 450))
    shop.ok("rate", "import", "retail", str(file(shop, f"prefix,first_price\n{lines}")))
    found, after = [], ""
    while True:
        page = shop("rate", "list", "retail", "--prefix", "44", "--limit", "4", "--after", after)
        found += [line.split()[0] for line in page.out.splitlines() if line[:1].isdigit()]
        if "--after=" not in page.err:
            break
        after = page.err.split("--after=")[1].strip()
    assert found == [str(prefix) for prefix in range(440, 450)]
    assert list(prices(shop, "--prefix", "44")) == found
    some = shop("rate", "list", "retail", "--json", "--limit", "2", "--after", "443").json
    assert [rate["prefix"] for rate in some] == ["444", "445"]


def test_scheduled_rates_are_listed_a_page_at_a_time(shop: CommandLine) -> None:
    for prefix, begins in (("44", MUCH_LATER), ("45", LATER), ("46", LATER)):
        shop.ok("rate", "add", "retail", prefix, "0.3", "--from", begins)
    first = shop("rate", "list", "retail", "--scheduled", "--json", "--limit", "2")
    after = first.err.split("--after=")[1].strip()
    assert [rate["prefix"] for rate in first.json] == ["45", "46"]
    assert list(prices(shop, "--scheduled", "--after", after)) == ["44"]
    assert "to go on after" in shop.refused("rate", "list", "retail", "--scheduled", "--after", "nothing")


# --- off-peak prices and times ----------------------------------------------------------------------------------


def test_off_peak_prices_are_given_changed_and_taken_away(shop: CommandLine) -> None:
    def off_peak() -> tuple[Any, Any]:
        [rate] = shop.ok("rate", "list", "retail", "--prefix", "44", "--json").json
        return rate["off_peak_first_price"], rate["off_peak_next_price"]

    shop.ok("tariff", "set", "retail", "--off-peak", "sat; sun")
    shop.ok(
        "rate", "add", "retail", "44", "0.2", "--off-peak-first-price", "0.1", "--off-peak-next-price", "0"
    )
    assert off_peak() == ("0.10", "0.00")
    assert "off" in shop.ok("rate", "list", "retail").out.split()
    shop.ok("rate", "set", "retail", "44", "--off-peak-next-price", "0.05")
    assert off_peak() == ("0.10", "0.05")
    shop.ok("rate", "set", "retail", "44", "--off-peak-first-price", "", "--off-peak-next-price", "")
    assert off_peak() == (None, None)
    assert "off" not in shop.ok("rate", "list", "retail").out.split()


def test_a_price_of_a_later_time_is_scheduled(shop: CommandLine) -> None:
    told = shop.ok("rate", "set", "retail", "420", "--first-price", "0.2", "--from", LATER).out
    assert told == (
        "rate 420 of retail changed from 2999-01-31 18:00:00 on: first_price 0.12 -> 0.20, "
        "next_price stays 0.12 (see --next-price)\n"
    )
    shop.ok("rate", "add", "retail", "44", "0.3", "--from", LATER)
    shop.ok("rate", "remove", "retail", "44", "--from", MUCH_LATER)
    assert prices(shop) == {"420": "0.12"}
    assert prices(shop, "--at", "2999-01-31T17:59:59.999999") == {"420": "0.12"}
    assert prices(shop, "--at", "2999-01-31T19:00+01:00") == {"420": "0.20", "44": "0.30"}
    assert prices(shop, "--at", "2999-05-31T22:00Z") == {"420": "0.20"}
    scheduled = shop.ok("rate", "list", "retail", "--scheduled", "--json").json
    assert [(r["from"], r["prefix"], r["discontinued"]) for r in scheduled] == [
        ("2999-01-31T18:00:00.000Z", "420", False),
        ("2999-01-31T18:00:00.000Z", "44", False),
        ("2999-05-31T22:00:00.000Z", "44", True),
    ]
    table = shop.ok("rate", "list", "retail", "--scheduled").out.splitlines()
    assert table[0].split()[0] == "from"
    assert "yes" in [line.split()[-1] for line in table]


def test_what_is_scheduled_is_the_base_of_a_still_later_change(shop: CommandLine) -> None:
    shop.ok("rate", "set", "retail", "420", "--first-price", "0.2", "--from", LATER)
    shop.ok("rate", "set", "retail", "420", "--next-price", "0.5", "--from", MUCH_LATER)
    [rate] = shop.ok("rate", "list", "retail", "--at", "2999-07-01", "--json").json
    assert (rate["first_price"], rate["next_price"]) == ("0.20", "0.50")


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-13-01", "18:00", "0001-01-01", "9999-12-31", "٢٩٩٩-01-01"]
)
def test_what_is_no_time_is_refused(shop: CommandLine, text: str) -> None:
    for words in (
        ["add", "retail", "44", "1", "--from", text],
        ["set", "retail", "420", "--first-price", "1", "--from", text],
        ["remove", "retail", "420", "--from", text],
        ["list", "retail", "--at", text],
        ["export", "retail", "--at", text],
        ["diff", "retail", "now", text],
        ["import", "retail", str(file(shop, "prefix,first_price\n1,2\n")), "--from", text],
    ):
        assert "is not a day or time" in shop.refused("rate", *words)


def test_a_time_in_the_past_is_refused_for_one_rate_and_means_at_once_in_a_list(shop: CommandLine) -> None:
    for words in (
        ["add", "retail", "44", "1"],
        ["set", "retail", "420", "--first-price", "1"],
        ["remove", "retail", "420"],
    ):
        assert "starts in the past" in shop.refused("rate", *words, "--from", "2020-01-01")
    # Of several that have passed the last one counts.
    path = file(shop, "prefix,first_price,from\n1,2,2020-01-01\n1,3,2021-01-01\n7,4,\n")
    told = shop.ok("rate", "import", "retail", path, "--from", "2019-01-01", "--json").json
    assert [(rate["prefix"], rate["from"]) for rate in told["added"]] == [("1", None), ("7", None)]
    assert prices(shop) == {"420": "0.12", "1": "3.00", "7": "4.00"}
    result = shop("rate", "import", "retail", file(shop, "prefix,first_price,from\n1,2,\n1,3,2021-01-01\n"))
    assert (result.code, "given twice for now: on line 2 without a date, and on line 3" in result.err) == (
        2,
        True,
    )


def test_a_rate_under_which_nothing_is_ever_called_is_noted(shop: CommandLine) -> None:
    for prefix, said in {
        "112": "note: 112 is an emergency number, and those are never called",
        "44999": "note: 44999 is an emergency number, and those are never called",
        "420800123456": "note: 420800123456 is an access number of this service, and those are never called",
        "999123": "note: no phone number is known that begins with 999123: check the country code",
    }.items():
        assert shop.ok("rate", "add", "retail", prefix, "1").out.splitlines()[1:] == [said]
    assert shop.ok("rate", "add", "retail", "4420", "1").out == "rate 4420 added to retail\n"
    assert shop.ok("rate", "check", "retail", "--json").json["never_match"] == ["112", "44999"]
    assert (
        "the rate for 112 never matches: it is an emergency number" in shop.ok("rate", "check", "retail").out
    )


def test_a_country_whose_code_is_an_emergency_number_elsewhere_has_rates_that_match(
    shop: CommandLine,
) -> None:
    for code in ("91", "355", "977"):
        assert shop.ok("rate", "add", "retail", code, "1").out == f"rate {code} added to retail\n"
    assert shop.ok("rate", "check", "retail", "--json").json["never_match"] == []
    assert "never matches" not in shop.ok("rate", "check", "retail").out


def test_no_country_code_is_called_an_emergency_number() -> None:
    codes = [str(code) for code in CALLING_CODES]
    assert [code for code in codes if never_called(code) or "emergency" in prefix_note(code, ())] == []


def test_other_input_that_cannot_be_used_is_refused(shop: CommandLine) -> None:
    path = str(file(shop, "prefix,first_price\n1,2\n"))
    shop.ok("rate", "add", "retail", "44", "1", "--from", LATER)
    for words, why in (
        (["add", "retail", "44", "1", "--from", MUCH_LATER], "already has a rate for 44"),
        (["set", "retail", "44", "--first-price", "1"], "has no rate for prefix '44'"),
        (["remove", "retail", "44"], "has no rate for prefix '44'"),
        (["set", "retail", "420", "--from", LATER], "nothing to change"),
        (["set", "retail", "420", "--off-peak-next-price", "x"], "off_peak_next_price 'x' is not an amount"),
        (["list", "retail", "--scheduled", "--at", LATER], "cannot be used together"),
        (["import", "retail", path, "--note", "x" * 201], "at most 200"),
        (["import", "retail", path, "--note", "a\nb"], "printable"),
        (["diff", "retail", "now", "99"], "has no revision 99"),
        (["rollback", "retail", "2"], "has no revision 2"),
        (["rollback", "retail", "99"], "has no revision 99"),
        (["rollback", "retail", "x"], "not a whole number"),
        (["history", "retail", "--limit", "0"], "not a whole number"),
        *((words, "unknown tariff 'none'") for words in (
            ["list", "none"], ["list", "none", "--scheduled"], ["export", "none"], ["diff", "none", "0", "now"],
            ["history", "none"], ["rollback", "none", "0"], ["remove", "none", "420"], ["import", "none", path],
        )),
    ):  # fmt: skip
        assert why in shop.refused("rate", *words), words


# --- files ------------------------------------------------------------------------------------------------------


def test_a_file_schedules_and_discontinues(shop: CommandLine) -> None:
    shop.ok("tariff", "set", "retail", "--off-peak", "sat; sun")
    path = file(
        shop,
        "prefix,first_price,off_peak_first_price,off_peak_next_price,discontinued,from\n"
        f"44,0.2,0.1,,,\n420,,,,yes,{MUCH_LATER}\n1,0.5,,0.4,,\n",
    )
    told = shop.ok("rate", "import", "retail", path, "--from", LATER, "--dry-run").out.splitlines()
    assert told == [
        "+ 1 connect_fee 0.00, first_interval_s 1, first_price 0.50, next_interval_s 1, next_price 0.50, "
        "off_peak_next_price 0.40 from 2999-01-31 18:00:00",
        "- 420 from 2999-05-31 22:00:00",
        "+ 44 connect_fee 0.00, first_interval_s 1, first_price 0.20, next_interval_s 1, next_price 0.20, "
        "off_peak_first_price 0.10 from 2999-01-31 18:00:00",
        "2 would be added, 0 would be changed, 1 would be removed, 0 unchanged",
        "note: 2 of the prefixes do not sell all numbers that begin with them; for example, the rate for 1 does not "
        "sell 12684601234 in AG: see `rate check`",
    ]
    done = shop.ok("rate", "import", "retail", path, "--from", LATER, "--note", "summer", "--json").json
    assert [rate["prefix"] for rate in done["added"]] == ["1", "44"]
    assert [rate["prefix"] for rate in done["removed"]] == ["420"]
    assert prices(shop) == {"420": "0.12"}
    assert prices(shop, "--at", "2999-07-01") == {"44": "0.20", "1": "0.50"}
    assert shop.ok("rate", "history", "retail", "--json").json[0]["note"] == "summer"
    before = shop.dump()
    again = shop.ok("rate", "import", "retail", path, "--from", LATER).out
    assert again == "0 were added, 0 were changed, 3 unchanged\n"
    assert shop.dump() == before


def test_a_bad_time_of_a_line_is_named_with_its_number(shop: CommandLine) -> None:
    path = file(shop, "prefix,first_price,discontinued,from\n1,2,,\n2,3,,soon\n3,,no,\n4,,maybe,\n")
    before = shop.dump()
    result = shop("rate", "import", "retail", path)
    assert (result.code, shop.dump()) == (2, before)
    assert [line[:30] for line in result.err.splitlines()[:3]] == [
        "line 3: from 'soon' is not a d",
        "line 4: first_price is missing",
        "line 5: discontinued 'maybe' i",
    ]


AMOUNTS = st.integers(0, AMOUNT_LIMIT_MICROS)
RATES = st.builds(
    Rate,
    prefix=st.from_regex(r"[1-9][0-9]{0,14}", fullmatch=True),
    connect_fee_micros=AMOUNTS,
    first_interval_s=st.integers(1, 3600),
    first_price_micros=AMOUNTS,
    next_interval_s=st.integers(1, 3600),
    next_price_micros=AMOUNTS,
    off_peak_first_price_micros=st.none() | AMOUNTS,
    off_peak_next_price_micros=st.none() | AMOUNTS,
    forbidden=st.booleans(),
)
DESCRIPTIONS = st.text(
    st.characters(categories=("L", "N", "P", "S", "Zs")).filter(str.isprintable), max_size=20
).map(neat) | st.sampled_from(['"', "a,b", "=1+1", "#"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.builds(NewRate, RATES, DESCRIPTIONS), max_size=8, unique_by=lambda new: new.rate.prefix))
def test_what_is_exported_imports_again_unchanged(shop: CommandLine, new: list[NewRate]) -> None:
    with shop.stores() as stores:
        stores.tariffs.change_terms("retail", {"off_peak": "sat; sun"})
        stores.tariffs.put_rates("retail", new)
    exported = shop.ok("rate", "export", "retail").out
    before = shop.dump()
    told = shop.ok("rate", "import", "retail", file(shop, exported)).out
    assert told == f"0 were added, 0 were changed, {len(exported.splitlines()) - 1} unchanged\n"
    assert shop.dump() == before


def test_an_export_is_as_of_a_time(shop: CommandLine) -> None:
    shop.ok("rate", "set", "retail", "420", "--first-price", "0.2", "--from", LATER)
    assert shop.ok("rate", "export", "retail", "--at", LATER).out == (
        "prefix,description,first_price,connect_fee,first_interval,next_interval,next_price,off_peak_first_price,"
        "off_peak_next_price,forbidden\n"
        "420,Czechia,0.20,0.00,1,1,0.12,,,no\n"
    )
    assert "420,Czechia,0.12" in shop.ok("rate", "export", "retail").out


# --- differences and the way back -------------------------------------------------------------------------------


def test_two_times_and_two_revisions_are_compared(shop: CommandLine) -> None:
    shop.ok("rate", "add", "retail", "44", "0.3")
    shop.ok("rate", "set", "retail", "420", "--first-price", "0.2", "--from", LATER)
    shop.ok("rate", "remove", "retail", "44")
    assert shop.ok("rate", "diff", "retail", "now", LATER).out == (
        "~ 420 first_price 0.12 -> 0.20\n0 are added, 1 are changed, 0 unchanged\n"
    )
    assert shop.ok("rate", "diff", "retail", "2", "now").out == (
        "- 44\n0 are added, 0 are changed, 1 are removed, 1 unchanged\n"
    )
    back = shop.ok("rate", "diff", "retail", "now", "2", "--json").json
    assert [rate["prefix"] for rate in back["added"]] == ["44"]
    assert (back["changed"], back["removed"], back["same"]) == ([], [], 1)
    assert shop.ok("rate", "diff", "retail", "3", "3", "--json").json["same"] == 2


def test_a_mistake_is_seen_in_the_history_and_taken_back(shop: CommandLine) -> None:
    shop.ok("rate", "add", "retail", "44", "0.3")
    right = prices(shop), prices(shop, "--at", LATER)
    path = file(shop, f"prefix,first_price,from\n420,12,\n1,0.1,\n44,30,{LATER}\n")
    shop.ok("rate", "import", "retail", path, "--note", "cents for dollars")
    table = shop.ok("rate", "history", "retail").out.splitlines()
    assert [line.split("  ")[0] for line in table] == ["number", "3", "2", "1"]
    assert table[1].endswith("import  3      cents for dollars")
    assert [r["kind"] for r in shop.ok("rate", "history", "retail", "--json").json] == [
        "import",
        "add",
        "add",
    ]
    assert len(shop.ok("rate", "history", "retail", "--limit", "1", "--json").json) == 1
    before = shop.dump()
    told = shop.ok("rate", "rollback", "retail", "2", "--dry-run").out.splitlines()
    assert shop.dump() == before
    assert sorted(line[:5] for line in told[:-1]) == ["- 1 f", "~ 420", "~ 44 "]
    assert told[-1] == "0 would be added, 2 would be changed, 1 would be removed"
    done = shop.ok("rate", "rollback", "retail", "2", "--note", "sorry", "--json").json
    assert (done["dry_run"], [rate["prefix"] for rate in done["removed"]]) == (False, ["1"])
    assert (prices(shop), prices(shop, "--at", LATER)) == right
    newest = shop.ok("rate", "history", "retail", "--json").json[0]
    assert (newest["number"], newest["kind"], newest["note"]) == (4, "roll back", "sorry")
    # And the way forward again.
    assert "1 were added, 2 were changed" in shop.ok("rate", "rollback", "retail", "3").out
    assert prices(shop)["420"] == "12.00"


def test_what_is_set_says_until_when_if_something_is_scheduled(shop: CommandLine) -> None:
    shop.ok("rate", "set", "retail", "420", "--first-price", "0.3", "--from", "2999-01-01")
    said = shop.ok("rate", "set", "retail", "420", "--connect-fee", "1").out
    assert "changed until 2999-01-01 00:00:00, when a scheduled rate begins: connect_fee 0.00 -> 1.00" in said
    said = shop.ok("rate", "set", "retail", "420", "--connect-fee", "2", "--from", "2999-02-01").out
    assert "changed from 2999-02-01 00:00:00 on: " in said
    shop.ok("rate", "remove", "retail", "420", "--from", "2999-06-01")
    said = shop.ok("rate", "set", "retail", "420", "--connect-fee", "3", "--from", "2999-02-01").out
    assert "on until 2999-06-01 00:00:00, when it is removed: " in said
    shop.ok("rate", "add", "retail", "44", "1", "--from", "2999-01-01")
    assert (
        "44 added to retail until 2999-01-01 00:00:00, when"
        in shop.ok("rate", "add", "retail", "44", "2").out
    )


def test_from_today_is_at_once_for_one_rate_as_in_a_list(shop: CommandLine) -> None:
    assert shop.ok("rate", "add", "retail", "44", "1", "--from", "today").out.startswith(
        "rate 44 added to retail\n"
    )
    shop.ok("rate", "set", "retail", "44", "--first-price", "2", "--from", "today")
    assert prices(shop)["44"] == "2.00"
    shop.ok("rate", "remove", "retail", "44", "--from", "today")
    assert "44" not in prices(shop)
    assert "starts in the past" in shop.refused("rate", "add", "retail", "44", "1", "--from", "yesterday")


def test_a_list_that_was_rolled_back_leaves_nothing_scheduled(shop: CommandLine) -> None:
    Path("list.csv").write_text("prefix,first_price,from\n420,0.2,2999-01-01\n44,0.3,2999-01-01\n")
    shop.ok("rate", "import", "retail", "list.csv")
    assert len(shop.ok("rate", "list", "retail", "--scheduled", "--json").json) == 2
    shop.ok("rate", "rollback", "retail", "1")
    assert shop.ok("rate", "list", "retail", "--scheduled", "--json").json == []
    shop.ok("rate", "set", "retail", "420", "--first-price", "0.15")
    later = shop.ok("rate", "list", "retail", "--at", "2999-06-01", "--json").json
    assert [(rate["prefix"], rate["first_price"]) for rate in later] == [("420", "0.15")]


def test_dates_without_a_zone_are_the_operators(shop: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_TIME_ZONE", "Asia/Tokyo")
    told = shop.ok("rate", "add", "retail", "44", "0.3", "--from", "2998-12-01").out
    assert "from 2998-12-01 00:00:00 on" in told
    [rate] = shop.ok("rate", "list", "retail", "--scheduled", "--json").json
    assert rate["from"] == "2998-11-30T15:00:00.000Z"
    assert "2998-12-01 00:00" in shop.ok("rate", "list", "retail", "--scheduled").out
    assert ",44," in shop.ok("rate", "list", "retail", "--scheduled", "--csv").out
    assert set(prices(shop, "--at", "2998-11-30T23:59:59")) == {"420"}
    assert set(prices(shop, "--at", "2998-12-01T00:00")) == {"420", "44"}
    Path("list.csv").write_text("prefix,first_price,from\n49,0.2,2998-12-20\n")
    planned = shop.ok("rate", "import", "retail", "list.csv", "--dry-run").out
    assert " from 2998-12-20 00:00:00\n" in planned
    shop.ok("rate", "import", "retail", "list.csv")
    assert "- 49 from 2998-12-20 00:00:00\n" in shop.ok("rate", "rollback", "retail", "1", "--dry-run").out
    assert "from: nothing -> 2998-12-20 00:00:00" in shop.ok("audit", "list", "--noun", "tariff", "--csv").out
    entry = shop.ok("audit", "list", "--noun", "tariff", "--json").json[0]
    assert entry["after"]["from"] == "2998-12-19T15:00:00.000Z"
    assert "49" not in prices(shop, "--at", "2998-12-19T23:59:59")
    assert "49" in prices(shop, "--at", "2998-12-20")
    shop.ok("api-key", "add", "crm", "--scope", "status", "--expires", "2998-12-01")
    [key] = shop.ok("api-key", "list", "--json").json
    assert key["expires_at"] == "2998-12-01T15:00:00.000Z"  # the end of the day
    assert "is not a day or time" in shop.refused("rate", "list", "retail", "--at", "soon")
