"""What a stranger meets first: the README's first screen, words that are explained, dates, templates, a release."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

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


# --- the README's first screen -------------------------------------------------------------------------------------

README = (ROOT / "README.md").read_text()
PICTURE = ROOT / "docs" / "images" / "way-of-a-call.svg"
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()


def test_the_readme_begins_with_what_it_is_a_picture_two_commands_and_the_words() -> None:
    order = [
        "Callback calling on Asterisk",
        "](docs/images/way-of-a-call.svg)",
        "git clone ",
        "make demo\n",
        "(docs/quickstart.md)",
        "<!-- demo output -->",
        "## Words",
        "## Installation",
        "## What it promises",
    ]
    places = [README.index(text) for text in order]
    assert places == sorted(places)


def test_the_sums_of_the_demo_shown_agree() -> None:
    demo = README.partition("<!-- demo output -->")[2].partition("\n```\n\n")[0]
    charged = [
        float(amount) for amount in re.findall(r"^ .* charges leg .* (\d\.\d+) USD$", demo, re.MULTILINE)
    ]
    recorded = [float(amount) for amount in re.findall(r"  \d+ +(\d\.\d+) +USD", demo)]
    balance = re.search(r"^balance +([\d.]+)$", demo, re.MULTILINE)
    assert sorted(charged) == sorted(recorded)
    assert len(charged) == 2
    assert balance
    assert round(10 - sum(charged), 6) == float(balance[1])


def test_the_picture_is_its_own_and_has_a_dark_side() -> None:
    picture = PICTURE.read_text()
    root = ElementTree.fromstring(picture)  # noqa: S314 - a file of ours
    assert "prefers-color-scheme: dark" in picture
    assert not re.search(r"href|url\(|<image|<script|@import", picture)
    said = " ".join(root.itertext()).lower()
    for step in ("missed call", "refused unanswered", "called back", "keypad", "bridged", "ledger"):
        assert step in said


def test_the_words_are_in_the_glossary_in_the_order_of_the_alphabet() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", GLOSSARY, re.MULTILINE)
    assert words == sorted(words, key=str.lower)
    wanted = (
        "leg A, leg B, hold, fuse, slice, trunk, route, instance, access number, ANI, DNIS, xDR, CEL journal, book, "
        "tariff, rate, node, incarnation"
    )
    assert set(wanted.split(", ")) <= set(words)
    short = re.findall(
        r"^\| ([\w ]+) \| .* \|$", README.partition("## Words")[2].partition("\n## ")[0], re.MULTILINE
    )
    assert len(short) == 8  # its head, and seven
    assert set(short) - {"Word"} <= set(words)
    for page in ("README.md", "ARCHITECTURE.md"):
        assert "(docs/glossary.md)" in (ROOT / page).read_text()
