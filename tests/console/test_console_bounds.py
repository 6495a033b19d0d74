"""What a page has at most, what a file has, and what no request gets: generated over all commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from console_site import PASSWORD, ConsoleSite
from shop import UK_RATE
from test_console_hostile import fill_with_one_of_each, read_pages, sent_forms

from stasis_callback.admin.commands import described
from stasis_callback.admin.taking import Taken, TakenFile, TakenText
from stasis_callback.console import policy, rendering
from stasis_callback.store.rates.tariffs import NewRate

HUGE = "9" * 30


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that have five lines, and as many of them as the rest of a report."""
    monkeypatch.setattr(rendering, "LINES_LIMIT", 5)
    monkeypatch.setattr(rendering, "FEW", 0)


def rows_of(page: str) -> int:
    return len(re.findall("<tr><td>", page))


def links_to_files(page: str) -> dict[str, str]:
    found = re.findall(r'<a href="([^"]*format=--[^"]*)">([A-Z]+)</a>', page)
    return {name: unescape(link) for link, name in found}


# --- files --------------------------------------------------------------------------------------------------------


def test_a_tariff_is_exported_as_a_file_from_its_page(site: ConsoleSite) -> None:
    manager, where = site.operator("manager"), "/do/rate/export?tariff=standard&run=1"
    page = manager.get(where)
    assert page.status_code == 200
    assert "prefix,description,first_price" in page.text
    answer = manager.get(links_to_files(page.text)["CSV"])
    assert answer.headers["content-disposition"] == 'attachment; filename="rate-export.csv"'
    assert answer.headers["content-type"].startswith("text/csv")
    assert "prefix,description,first_price" in answer.text
    other = manager.get(where + "&encoding=utf-16&format=--csv")
    assert (
        other.content.decode("utf-16") == answer.text
    )  # as it was written, whatever the page can show of it
    for refused in ("/do/rate/export?tariff=none&run=1", "/do/rate/export?tariff=none&run=1&format=--csv"):
        answer = manager.get(refused)
        assert answer.status_code == 400
        assert "unknown tariff" in answer.text
        assert not links_to_files(answer.text)


def test_a_long_file_is_shown_in_part_and_given_whole(site: ConsoleSite, short_pages: None) -> None:
    rates = [NewRate(replace(UK_RATE, prefix=f"38{n}")) for n in range(10)]
    site.shop.stores.tariffs.put_rates("standard", rates)
    manager = site.operator("manager")
    page = manager.get("/do/rate/export?tariff=standard&run=1").text
    assert "More follow" in page
    assert "\n383," in page
    assert "\n384," not in page
    lines = manager.get(links_to_files(page)["CSV"]).text.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["prefix", *(f"38{n}" for n in range(10)), "44"]


def test_lists_of_nouns_are_had_as_files_too(site: ConsoleSite) -> None:
    for n in range(102):
        site.shop.account(f"{1000 + n}", funds="0")
    owner, lists = site.operator("owner"), 0
    for noun in (noun for _, nouns in policy.GROUPS for noun in nouns):
        page = owner.get(f"/noun/{noun}").text
        links = links_to_files(page)
        lists += bool(links)
        for link in links.values():
            assert "attachment" in owner.get(link).headers.get("content-disposition", ""), link
        if noun == "account":
            assert len(owner.get(links["CSV"]).text.splitlines()) == 103
    assert lists > 15


# --- bounds -------------------------------------------------------------------------------------------------------


def test_a_text_that_came_in_pieces_is_one(site: ConsoleSite) -> None:
    taken = Taken(site.shop.stores)
    for piece in ("a", "b", ""):
        taken.write(piece, is_error=False)
    taken.write("c", is_error=True)
    for content in (b"d", b"e"):
        taken.write_file(content)
    taken.write("f", is_error=False)
    taken.table(["g"], [["h"]])
    one, two, three, four, table = taken.blocks()
    assert (one, two) == (TakenText("ab", is_error=False), TakenText("c", is_error=True))
    assert (three, four) == (TakenFile(b"de"), TakenText("f", is_error=False))
    assert table in taken.printed


def test_a_page_has_the_first_lines_of_what_is_found_and_says_how_to_get_all(
    site: ConsoleSite, short_pages: None
) -> None:
    viewer = site.operator("viewer")
    page = viewer.get("/do/doctor?run=1").text
    (text,) = re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    assert len(text.splitlines()) == 5
    assert "More follow: a page has at most 5 lines." in page
    assert '<code lang="en">stasis-callback doctor</code>' in page
    assert len(viewer.get(links_to_files(page)["JSON"]).json()["findings"]) > 3


def test_a_list_has_no_more_rows_than_a_page_and_a_file_has_all(site: ConsoleSite, short_pages: None) -> None:
    for n in range(12):
        site.shop.account(f"10{n:02}")
    viewer, where, seen, pages = site.operator("viewer"), "/do/account/list?run=1&limit=1000000", set(), 0
    while where:
        page = viewer.get(where).text
        pages += 1
        seen |= set(re.findall(r"show\?number=(10[0-9]+)", page))
        assert rows_of(page) <= 5
        assert 'value="1000000"' in page
        assert len(viewer.get(links_to_files(page)["JSON"]).json()) in (12, 7, 2)
        following = re.search(r'href="([^"]*after=[^"]*)">Next page', page)
        assert ("More follow" in page) == bool(following)
        where = unescape(following[1]) if following else ""
    assert (len(seen), pages) == (12, 3)
    assert rows_of(viewer.get("/do/account/list?run=1&limit=000001000000").text) == 5
    sides = {"number_a": "442071234567", "number_b": "442071234567", "tariff": "standard", "at": "2027-12-31"}
    talk = viewer.get("/do/rate/simulate", params={**sides, "funds": "9999", "limit": "3600"}).text
    assert "36.00" in talk  # an hour at a cent a second: these are no rows
    refused = viewer.get("/do/account/list?run=1&limit=1000001")
    assert refused.status_code == 400
    assert "not a whole number" in refused.text


def test_no_table_of_any_page_is_longer_than_a_page(site: ConsoleSite, short_pages: None) -> None:
    for n in range(12):
        site.shop.account(f"10{n:02}")
        site.shop.missed_call(site.shop.stores.accounts.named(f"10{n:02}"))
    owner, cut = site.operator("owner"), 0
    pages = [f"/noun/{noun}" for _, nouns in policy.GROUPS for noun in nouns]
    pages += ["/", "/reports", *(path + "?run=1&limit=1000" for path, _ in read_pages())]
    for path in pages:
        answer = owner.get(path)
        tables = re.findall(r"<tbody>(.*?)</tbody>", answer.text, re.DOTALL)
        assert all(rows_of(table) <= 5 for table in tables), path
        cut += "More follow" in answer.text
    assert cut >= 5


# --- what is not expected -----------------------------------------------------------------------------------------


def asked(site: ConsoleSite) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each page that reads: with something in each field, with a number that no database has, and as each file."""
    for path, fields in read_pages():
        command = described()[path.removeprefix("/do/").replace("/", " ")]
        yield path, fields
        yield path, dict.fromkeys(fields, HUGE)
        for parameter in command.parameters:
            yield path, fields | {parameter.name: HUGE}
        for kind in (*command.formats, "--csv"):
            yield path, fields | {"format": kind}


def test_no_page_that_reads_says_that_something_was_unexpected(site: ConsoleSite) -> None:
    site.shop.account("100")
    owner = site.operator("owner")
    fill_with_one_of_each(site, owner)
    for path, fields in asked(site):
        answer = owner.get(path, params=fields | {"run": "1"})
        assert answer.status_code in (200, 400), (path, fields, answer.text[:300])
        assert "unexpected" not in answer.text, (path, fields)


def test_no_number_is_too_long_to_be_refused(site: ConsoleSite) -> None:
    """In the path of an address, and in the forms of all commands that change something."""
    site.shop.account("100")
    owner = site.operator("owner")
    proof = {"proof.password": PASSWORD, "proof.code": owner.code()}
    for number in (HUGE, "-1", "1" * 18, "١"):
        sent = {"form_token": owner.token(), "decision": "agree", **proof}
        answer = owner.post(f"/second/{number}", sent)
        assert answer.status_code == 409, number
        assert "never proposed" in answer.text
        proof = {}
    for count, (path, fields) in enumerate(sent_forms()):
        if not path.startswith("/do/"):
            continue
        for parameter in described()[path.removeprefix("/do/").replace("/", " ")].parameters:
            known = {"form_token": owner.token(), "key.form": f"huge-{count}-{parameter.name}"}
            answer = owner.post(path, fields | known | {parameter.name: HUGE})
            assert answer.status_code < 500, (path, parameter.name)
            assert "unexpected" not in answer.text, (path, parameter.name)
