"""The tables of refusals and endings that are written by hand have every word."""

from __future__ import annotations

import re
from pathlib import Path

from stasis_callback.core.words import Ending, Refusal
from stasis_callback.web.desk import STATUS_OF
from stasis_callback.web.status import REASON_OF

DOCS = Path(__file__).parents[2] / "docs"
OPERATIONS, WEB = DOCS / "operations.md", DOCS / "guides" / "web-callback.md"
ASKED = [refusal for refusal in Refusal if "web" in refusal.source]
MISSED = [refusal for refusal in Refusal if "missed call" in refusal.source]


def section(page: Path, title: str) -> str:
    """What stands below a heading, up to the next one."""
    return page.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def in_code(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def test_operations_have_every_refusal_of_a_missed_call_and_every_ending() -> None:
    said = in_code(section(OPERATIONS, "Why a missed call made no callback"))
    assert {*MISSED, *Ending} - said == set()


def test_the_web_guide_has_every_code_with_its_status() -> None:
    rows = [
        line.split("|")[1:3]
        for line in section(WEB, "Why a request made no callback").splitlines()
        if "|" in line
    ]
    status_of = {code: status.strip() for codes, status in rows for code in in_code(codes)}
    assert {refusal: str(STATUS_OF[refusal]) for refusal in ASKED}.items() <= status_of.items()


def test_the_web_guide_has_every_reason_of_the_status_page() -> None:
    assert set(REASON_OF.values()) - in_code(section(WEB, "Final reasons on the status page")) == set()
