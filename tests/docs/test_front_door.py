"""What a stranger meets first: the README's first screen, words that are explained, dates, templates, a release."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[2]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
STATUS = re.compile(r"(Accepted|Withdrawn) on (\d{4}-\d{2}-\d{2})(; replaced by \[\d{4}\]\([\w.-]+\))?\.")


def test_every_decision_says_when_it_was_taken_and_whether_it_stands() -> None:
    assert DECISIONS
    for decision in DECISIONS:
        title, blank, status, below, *_ = decision.read_text().splitlines()
        assert title.startswith("# ")
        assert blank == below == ""
        found = STATUS.fullmatch(status)
        assert found, f"{decision.name}: {status!r}"
        assert date.fromisoformat(found[2])
