"""The page of faults names a test for each, and the tests exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[list[str]]:
    """The cells of every row of every table, without heads."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[-1].strip(" |") != "Shown by"]


def test_each_row_names_a_test() -> None:
    assert [row[0] for row in rows() if not TEST.search(row[-1])] == []


def test_each_named_test_exists() -> None:
    missing = [
        f"{file}::{test}"
        for file, test in dict.fromkeys(TEST.findall(PAGE.read_text()))
        if not (ROOT / file).is_file()
        or not re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_no_point_and_no_symptom_is_left_out() -> None:
    first = [row[0] for row in rows()]
    assert [f"K{n}" for n in range(12)] == [cell.split(",")[0] for cell in first if re.match(r"K\d", cell)]
    assert [str(n) for n in range(1, 29)] == [cell for cell in first if cell.isdigit()]
