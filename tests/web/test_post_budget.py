"""What one post of a form asks of the database, counted: a budget that nothing may grow out of unseen.

    .venv/bin/pytest -s tests/web/test_post_budget.py

prints the counts. Counts and not times: they are the same on every machine. With a key that a browser's form has, two
more commits: one that takes the key, and one that keeps its answer.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from counting import counting
from web_site import FIRST, SECOND, Site

pytestmark = pytest.mark.sqlite

BUDGET = {
    # form: statements, commits
    "simple": (18, 2),
    "hosted": (13, 1),
    "extended": (18, 4),
}
OF_POSTS = "AnyIO worker thread"


@pytest.mark.parametrize("kind", BUDGET)
def test_a_post_asks_for_no_more_than_its_budget(site: Site, kind: str) -> None:
    numbers = {"simple": "", "hosted": "", "extended": SECOND}
    site.account()
    site.stores.accounts.change("6192345678", simultaneous_calls=2)
    options = {"allowed_addresses": "127.0.0.1"} if kind == "hosted" else {}
    site.instance(kind=kind, **options)

    def post(first: str) -> None:
        answer = site.send(first_number=first, second_number=numbers[kind])
        assert answer.status_code == 303, answer.text

    post("+447400900777")  # once before: what is read at the first post only is not of a post
    with counting(site.shop.url, OF_POSTS) as counted:
        post(FIRST)
    found = len(counted.statements), counted.commits
    print(f"\n{kind:9} {found[0]:3} statements {found[1]:2} commits")  # noqa: T201
    within = [count <= most for count, most in zip(found, BUDGET[kind], strict=True)]
    assert all(within), "\n".join([str(found), *counted.statements])


def test_the_page_of_the_bench_has_the_budget_of_posts() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "bench.md").read_text()
    rows = (" | ".join([form, *map(str, counts)]) for form, counts in BUDGET.items())
    assert [row for row in rows if f"| {row} |" not in page] == []
