"""The field at the top of each page: whatever people type into it leads to what is meant."""

from __future__ import annotations

import re
from html import unescape

import pytest
from console_site import ConsoleSite, Operator
from shop import talked


def leads_to(operator: Operator, text: str) -> str:
    """Where the field leads at once; "" for a page with a choice."""
    return operator.get("/find", params={"q": text}).headers.get("location", "")


def choices(operator: Operator, text: str) -> set[tuple[str, str]]:
    page = operator.get("/find", params={"q": text}).text
    found = re.findall('<li>([^<:]*): <a href="/do/[^"]*">([^<]*)</a>', page)
    return {(noun, unescape(name)) for noun, name in found}


def test_a_callback_is_found_by_its_id_and_by_those_of_its_legs(site: ConsoleSite) -> None:
    account = site.shop.account("420601123456")
    request = site.shop.request(account)
    viewer = site.operator("viewer")
    story = f"/do/why?subject={request.id}"
    for text in (request.id, request.id.upper(), f" {request.id} ", f"{request.id}-a1", f"{request.id}-b2.3",
                 f"{request.id.upper()}-A1"):  # fmt: skip
        assert leads_to(viewer, text) == story, text
    assert viewer.get(story).status_code == 200
    assert leads_to(viewer, "0" * 16) != f"/do/why?subject={'0' * 16}"


def test_an_account_is_found_by_its_id_an_alias_or_a_part_of_them(site: ConsoleSite) -> None:
    site.shop.account("420601123456", aliases=["442071230000"], callback_number="390612345678")
    site.shop.account("7001")
    viewer = site.operator("viewer")
    shown = "/do/account/show?number=420601123456"
    for text in ("420601123456", "+420 601 123 456", "00420601123456", "442071230000", "+44 (0)20 7123-0000"):
        assert leads_to(viewer, text) == shown, text
    for text in ("601123", "390612345678", "7123"):
        where = leads_to(viewer, text)
        assert where.startswith("/do/account/list?text="), text
        assert shown in viewer.get(where).text
    assert "None." in viewer.get("/find?q=nothing+of+the+kind").text


def test_a_customer_is_found_by_name(site: ConsoleSite) -> None:
    for name in ("Acme Ltd", "Acme & Sons", "(none)"):
        site.shop.stores.accounts.add_customer(name, "USD")
    viewer = site.operator("viewer")
    for text in ("people", "PEOPLE", "peop"):
        assert leads_to(viewer, text) == "/do/customer/show?name=people"
    assert leads_to(viewer, "Acme & Sons") == "/do/customer/show?name=Acme+%26+Sons"
    assert choices(viewer, "Acme") == {("Customers", "Acme & Sons"), ("Customers", "Acme Ltd")}
    assert viewer.get(leads_to(viewer, "(none)")).status_code == 200


def test_a_batch_is_found_by_name(site: ConsoleSite) -> None:
    site.shop.account("100", batch="spring")
    boss = site.operator("manager")
    assert leads_to(boss, "spring") == "/do/account/list?batch=spring&run=1"
    assert "number=100" in boss.get(leads_to(boss, "Spring")).text
    boss.does("voucher generate", batch="spring", count="2", amount="5", currency="USD")
    boss.does("voucher generate", batch="may", count="2", amount="5", currency="USD")
    assert leads_to(boss, "may") == "/do/voucher/show?batch=may"
    assert choices(boss, "spring") == {("Accounts", "spring"), ("Vouchers", "spring")}


def test_a_number_that_only_calls_or_is_called_leads_to_its_callbacks(site: ConsoleSite) -> None:
    shop = site.shop
    account = shop.account("100")
    request = shop.request(account)
    shop.sql(f"UPDATE request SET ani = '390612345678' WHERE id = '{request.id}'")
    assert shop.leg("leg-1", account, request, hold="1.00")
    number = next(row["number"] for row in shop.rows()["LegRow"])
    shop.stores.calls.settle("leg-1", talked(30))
    viewer = site.operator("viewer")
    for text, digits in (
        ("390612345678", "390612345678"), ("+39 06 1234", "39061234"), (number, number), (f"+{number}", number),
    ):  # fmt: skip
        where = leads_to(viewer, text)
        assert where == f"/do/request/list?number={digits}&run=1", text
        assert f"/do/why?subject={request.id}" in viewer.get(where).text
    shop.account("555390612345678")
    number = "390612345678"
    assert choices(viewer, number) == {("Callbacks", number), ("Accounts", number)}


@pytest.mark.parametrize(
    "text", ["", " ", "%", "!", "\\", "'", "\x00", "a" * 500, "9" * 90, "١٢٣", "-a1", "(others)"]
)
def test_whatever_is_typed_is_answered(site: ConsoleSite, text: str) -> None:
    answer = site.operator("viewer").http.get(site.base + "/find", params={"q": text})
    assert answer.status_code in (200, 400)
    assert "unexpected" not in answer.text


def test_a_cell_leads_to_what_it_names_whatever_that_is_called(site: ConsoleSite) -> None:
    """Lines of reports for what has no name lead nowhere, and nothing may be called so."""
    shop, viewer = site.shop, site.operator("viewer")
    shop.stores.accounts.add_customer("(none)", "USD")
    assert '<a href="/do/customer/show?name=%28none%29">(none)</a>' in viewer.get("/noun/customer").text
    assert viewer.get("/do/customer/show?name=%28none%29").status_code == 200
    account = shop.account("100")
    assert shop.leg("leg-1", account, shop.request(account), hold="1.00")
    shop.stores.calls.settle("leg-1", talked(30))
    report = viewer.get("/reports?by=trunk&from=2027-01-01&to=2027-01-31").text
    assert "<td>(settings)</td>" in report
