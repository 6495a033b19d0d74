"""Pages from templates: what is common to all of them, and the output of commands as HTML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from stasis_callback.admin.commands import Command, described, groups
from stasis_callback.admin.listing import MORE
from stasis_callback.admin.taking import Block, TakenFields, TakenFile, TakenPicture, TakenTable, TakenText
from stasis_callback.console import policy
from stasis_callback.console.forms import endings
from stasis_callback.console.visits import Caller
from stasis_callback.core.unnamed import UNNAMED
from stasis_callback.store.operators.operators import Role
from stasis_callback.web.texts import LANGUAGES

_HERE = Path(__file__).parent
LINES_LIMIT = 1000
"""The most rows of a table, or lines of a text, that a page has: browsers take long for more. A file has all."""
FEW = 20
"""So few more are shown too: the last line of a report is what all others have together."""
_BYTES_LIMIT = 1_000_000
_STORIES = ("call", "request", "callback")
"""Columns whose cells are callbacks: their story says more than their fields."""


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun in the menu."""

    name: str
    help: str


class Renderer:
    """Renders the templates."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "link": cell_link,
            "address": address,
            "kind_of": kind_of,
            "bounded": bounded,
            "first_lines": first_lines,
            "lines_limit": lambda: str(LINES_LIMIT),
            "number": number,
            "endings": endings,
            "said_of": said_of,
            "more_follows": MORE,
        }

    def part(self, template: str, language: str, **values: Any) -> str:
        """A part of a page."""
        return self._environment.get_template(template).render(t=texts(language), **values)

    def page(self, template: str, visit: Caller, status: int = 200, **values: Any) -> HTMLResponse:
        """A whole page."""
        menu = _menu(visit.role) if visit.session else ()
        common = {
            "visit": visit,
            "menu": menu,
            "languages": {name: texts(name)["language"] for name in LANGUAGES},
        }
        return HTMLResponse(self.part(template, visit.language, **(common | values)), status)


@cache
def texts(language: str) -> Mapping[str, Any]:
    """The words of the console in a language."""
    return tomllib.loads((_HERE / "texts" / f"{language}.toml").read_text("utf-8"))


@cache
def _menu(role: Role) -> tuple[tuple[str, tuple[Noun, ...]], ...]:
    helps = groups()
    return tuple(
        (topic, nouns)
        for topic, names in policy.GROUPS
        if (nouns := tuple(Noun(name, helps[name]) for name in names if policy.of_noun(name, role)))
    )


def address(command: str, **given: str) -> str:
    """The page of a command, with some of its parameters."""
    path = "/do/" + "/".join(quote(word) for word in command.split())
    return f"{path}?{urlencode(given)}" if given else path


def bounded(block: Block) -> tuple[Block, bool]:
    """As much of what a command printed as a page has, and whether more follows. Of a file its beginning, as text."""
    if isinstance(block, TakenFile):
        text, more = first_lines(block.content[:_BYTES_LIMIT].decode("utf-8", "replace"))
        return TakenText(text, is_error=False), more or len(block.content) > _BYTES_LIMIT
    if isinstance(block, TakenPicture):
        return block, False
    if isinstance(block, TakenText):
        text, more = first_lines(block.text)
        return replace(block, text=text), more
    rows = block.rows if isinstance(block, TakenTable) else block.fields
    if len(rows) <= LINES_LIMIT + FEW:
        return block, False
    if isinstance(block, TakenFields):
        return replace(block, fields=block.fields[:LINES_LIMIT]), True
    return replace(block, rows=block.rows[:LINES_LIMIT]), True


def first_lines(text: str) -> tuple[str, bool]:
    """As many lines of a text as a page has, and whether more follow."""
    lines = text.split("\n", LINES_LIMIT)
    more = len(lines) > LINES_LIMIT and bool(lines[-1])
    return ("\n".join(lines[:LINES_LIMIT]), True) if more else (text, False)


def kind_of(block: Block) -> str:
    """`text`, `table`, `fields` or `picture`."""
    return type(block).__name__.removeprefix("Taken").lower()


def number(value: float) -> str:
    """A figure of a plot, without zeros at its end."""
    return f"{value:,.4f}".rstrip("0").rstrip(".")


def said_of(command: Command, words: Mapping[str, Any]) -> str:
    """What a command is called in a language: its noun and what is done to it."""
    verb = str(words["verbs"][command.verb])
    return f"{words['nouns'][command.noun]}: {verb}" if command.noun else verb[:1].upper() + verb[1:]


def cell_link(command: Command, header: str, cell: str, position: int) -> str:
    """Where a cell of a table leads: to the page of the thing that it names; "" for nowhere."""
    if not cell or cell in UNNAMED:
        return ""
    if header in _STORIES or (header == "id" and command.noun in _STORIES):
        return address("why", subject=cell)
    noun = header.replace(" ", "-")
    if noun not in groups() and position == 0 and command.path[-1] == "list":
        noun = command.noun
    shows = described().get(f"{noun} show")
    if shows is None or not shows.parameters:
        return ""
    return address(shows.name, **{shows.parameters[0].name: cell})
