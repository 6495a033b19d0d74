"""Reports from the shell: tables, CSV, JSON, and the page with plots."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command_line import SUBSCRIBER, CommandLine

from stasis_callback.admin.calls.report_page import render
from stasis_callback.admin.calls.reports import calls_record, days
from stasis_callback.store.calls.reports import CallsLine

THAT_DAY = ("--from", "2023-11-14", "--to", "2023-11-14")


def test_calls_by_day_and_by_account(shop: CommandLine, called: str) -> None:
    (day,) = shop.ok("report", "calls", *THAT_DAY, "--json").json
    assert day == {
        "day": "2023-11-14",
        "attempts": 2,
        "answered": 1,
        "asr_percent": 50.0,
        "acd_s": 61.0,
        "minutes": 1.0,
        "charged_minutes": 1.0,
        "charged_s": 61,
        "revenue": "0.122",
        "revenue_micros": 122_000,
        "overrun": "0.00",
        "overrun_micros": 0,
        "cost": None,
        "cost_micros": None,
        "margin": None,
        "margin_micros": None,
        "margin_percent": None,
        "currency": "USD",
    }
    table = shop.ok("report", "calls", "--by", "account", *THAT_DAY).out
    assert table.startswith("account")
    assert table.splitlines()[-1].startswith(SUBSCRIBER)
    lines = shop.ok("report", "calls", "--by", "trunk", *THAT_DAY, "--csv").out.splitlines()
    assert lines[0].startswith("trunk,attempts,asr_percent,acd_s")
    assert lines[1] == "(settings),2,50.0,61.0,1.0,0.122,,,USD,1,1.0,61,0.00,"


def test_named_groups_and_what_the_others_have(shop: CommandLine, called: str) -> None:
    by_trunk = ("report", "calls", *THAT_DAY, "--by", "trunk", "--json")
    assert [line["trunk"] for line in shop.ok(*by_trunk, "--group", "(settings)").json] == ["(settings)"]
    assert [line["trunk"] for line in shop.ok(*by_trunk, "--group", "cheap").json] == ["(others)"]


def test_a_time_without_calls_is_empty(shop: CommandLine, called: str) -> None:
    assert shop.ok("report", "calls", "--from", "2024-01-01", "--to", "2024-01-31", "--json").json == []
    assert shop.ok("report", "calls", *THAT_DAY, "--prefix", "1", "--json").json == []


@pytest.mark.parametrize("prefix", ["420", "+420", "00420 212"])
def test_a_prefix_is_read_as_people_write_it(shop: CommandLine, called: str, prefix: str) -> None:
    (day,) = shop.ok("report", "calls", *THAT_DAY, "--prefix", prefix, "--json").json
    assert day["attempts"] == 2


def test_minutes_of_a_spreadsheet_can_be_added_up(shop: CommandLine, called: str) -> None:
    """Minutes are rounded for each line; seconds are whole."""
    (line,) = csv.DictReader(io.StringIO(shop.ok("report", "calls", *THAT_DAY, "--csv").out))
    assert (line["charged_minutes"], line["charged_s"]) == ("1.0", "61")


def test_refusals_say_how_many_for_each_reason(shop: CommandLine, called: str) -> None:
    assert shop.ok("report", "refusals", "--json").json == []
    assert shop.ok("report", "refusals", "--csv").out == "reason,trigger,count\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--by", "colour"),               "one of day, account"),
        (("--account", "nobody"),          "nobody"),
        (("--trunk", "none"),              "unknown trunk 'none'"),
        (("--by", "day", "--group", "x"),  "--group is for a report by account"),
        (("--limit", "1"),                 "--limit is for a report by account"),
        (("--prefix", "abc"),              "not the beginning of a phone number"),
        (("--from", "1.11.2026"),          "not a date"),
        (("--time-zone", "Mars"),          "not a time zone"),
    ],
)  # fmt: skip
def test_what_cannot_be_reported_is_said(shop: CommandLine, words: tuple[str, ...], why: str) -> None:
    result = shop("report", "calls", *words)
    assert result.code == 2
    assert why in result.err


def test_the_page_is_one_file_with_plots_that_asks_for_nothing(
    shop: CommandLine, called: str, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    assert "written" in shop.ok("report", "page", page, *THAT_DAY, "--title", "Acme & Co").out
    text = page.read_text()
    assert "<h1>Acme &amp; Co</h1>" in text
    assert "0.122" in text
    assert text.count("<svg") == 5
    assert re.findall(r"(?:src|href)=[\"'](?!#)", re.sub(r"xlink:href=\"#\w+\"", "", text)) == []
    assert "<script" not in text
    assert "url(http" not in text


def test_names_that_look_like_code_are_only_names() -> None:
    evil = '<script>alert("1")</script> $\\frac{1}{0}$ =1+1'
    line = CallsLine(evil, "USD", 1, 1, 60_000_000, 60, 1_000_000, 0, 500_000)
    spans = days("2026-11-01", "2026-11-02", "UTC")
    tables: dict[str, Sequence[Mapping[str, object]]] = {
        "account": [calls_record("account", line)],
        "refusals": [{"reason": evil, "trigger": "ani", "count": 1}],
    }
    text = render(evil, spans, tables, "UTC")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(svg)  # noqa: S314 - our own


def test_a_name_in_a_spreadsheet_is_no_formula(shop: CommandLine, called: str) -> None:
    from stasis_callback.admin.listing import spreadsheet_cell

    assert spreadsheet_cell("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert spreadsheet_cell("-0.06") == "-0.06"
    assert spreadsheet_cell(7) == "7"
