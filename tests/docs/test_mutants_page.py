"""docs/mutants.md explains changes of lines that are there: `make mutants` compares the rest, which takes long."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mutants(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(ROOT / "tools")
    return runpy.run_path(str(ROOT / "tools" / "mutants.py"))


def test_a_page_explains_the_changes_in_its_diffs(mutants: dict[str, Any]) -> None:
    diff = "```diff\n-    if a > 0:\n+    if a >= 0:\n```\n"
    page = f"# Title\n\n{diff}\n## `a.py`\n\nWhy:\n\n{diff}\n## `b.py`\n"
    assert mutants["explained"](page) == {("a.py", "if a > 0:", "if a >= 0:")}


def test_a_change_is_read_as_cosmic_ray_writes_it(mutants: dict[str, Any]) -> None:
    diff = "--- mutation diff ---\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n x\n-\n-    @unit\n-    y = b\n+    y = c\n"
    assert mutants["change_in"]("a.py", diff) == ("a.py", "@unit y = b", "y = c")


def test_every_line_that_is_explained_is_there(mutants: dict[str, Any]) -> None:
    changes = mutants["explained"](mutants["EXPLAINED"].read_text())
    assert changes
    for path, old, new in changes:
        assert old in " ".join((ROOT / path).read_text().split()), (
            f"{path} has no {old!r} (changed to {new!r})"
        )
