"""The steps of a page for operators: commands to run, and contents of files, as they stand there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^`(/[^`]+)`", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A block of a page."""

    text: str
    file: str = ""
    """The file whose content it is: the paragraph before begins with its path. "": commands."""
    language: str = ""


def steps(page: Path, *sections: str) -> Iterator[Step]:
    """The blocks below these headings of the page, in the order of the page; each section must have some."""
    parts = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)
    for section in sections:
        (part,) = [part for part in parts if part.startswith(f"{section}\n")]
        end, found = 0, 0
        for block in _FENCED.finditer(part):
            paragraph = part[end : block.start()].strip().rpartition("\n\n")[2]
            named = _FILE.match(paragraph)
            yield Step(block[2], named[1] if named else "", block[1])
            end, found = block.end(), found + 1
        assert found, f"{page.name} has no commands under {section!r}"
