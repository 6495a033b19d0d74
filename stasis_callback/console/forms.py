"""Forms of commands: fields with what was typed, and what was typed as parameters."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import FormData, UploadFile

from stasis_callback.admin.commands import Parameter, Takes
from stasis_callback.admin.taking import TakenTable
from stasis_callback.core.options import OPTION_GROUPS

SET, WAS, EMPTY, ENDING = "set.", "was.", "empty.", "ending."
"""Prefixes of fields: an option of a table, its value before, a field that is to be empty, the kind of a file."""
OPTION_HEADERS = ("option", "value", "set", "meaning")
_ENDINGS = {"CSV": "csv", "HTML": "html", "archive": "tar.gz"}
_PAIR = "NAME=VALUE"
_SAFE = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form. `can_be_empty`: leaving it out and making it empty are two things."""

    parameter: Parameter
    value: str
    can_be_empty: bool
    is_emptied: bool

    @property
    def id(self) -> str:
        """Its id in the page."""
        return f"p-{self.parameter.name}"


@dataclass(frozen=True, slots=True)
class OptionField:
    """An option out of a table of options."""

    name: str
    value: str
    was: str
    meaning: str

    @property
    def id(self) -> str:
        """Its id in the page."""
        return f"o-{self.name}"

    @property
    def group(self) -> str:
        """What it is about; "" for an option that is in no group."""
        return next((group for group, names in OPTION_GROUPS.items() if self.name in names), "")


def fields(
    parameters: Iterable[Parameter], given: Mapping[str, Sequence[str]], *, reads: bool
) -> list[Field]:
    """The fields of a form, with what was typed before."""
    return [_field(parameter, given, reads) for parameter in parameters]


def _field(parameter: Parameter, given: Mapping[str, Sequence[str]], reads: bool) -> Field:
    typed = given.get(f"{ENDING}{parameter.name}") if parameter.kind is Takes.OUTPUT else None
    typed = typed or given.get(parameter.name)
    value = "\n".join(typed) if typed else ("" if parameter.kind is Takes.FLAG else parameter.default)
    can_be_empty = (
        not reads and parameter.kind in (Takes.TEXT, Takes.MANY) and bool(parameter.option)
        and not takes_options(parameter) and not parameter.required and not parameter.default
    )  # fmt: skip
    return Field(parameter, value, can_be_empty, f"{EMPTY}{parameter.name}" in given)


def option_fields(table: TakenTable, given: Mapping[str, Sequence[str]]) -> list[OptionField]:
    """The fields of a table of options, as `show` or `options` print it."""
    texts = [dict(zip(table.headers, row, strict=True)) for row in table.rows]
    return [
        OptionField(
            name := row.get("option", row.get("name", "")),
            (given.get(SET + name) or [row.get("value", row.get("default", ""))])[0],
            row.get("value", row.get("default", "")),
            row.get("meaning", ""),
        )
        for row in texts
    ]


def grouped(options: Sequence[OptionField]) -> list[tuple[str, list[OptionField]]]:
    """Options by what they are about, in the order of the guide; those in no group first."""
    names = ["", *OPTION_GROUPS]
    groups = ((name, [option for option in options if option.group == name]) for name in names)
    return [(name, some) for name, some in groups if some]


def takes_options(parameter: Parameter) -> bool:
    """Whether a parameter takes options of a table by name."""
    return parameter.metavar == _PAIR and parameter.kind is Takes.MANY


def typed(form: FormData) -> dict[str, list[str]]:
    """All texts of a form; files are left out."""
    found: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            found.setdefault(name, []).append(value)
    return found


def parameters_of(
    parameters: Sequence[Parameter], given: Mapping[str, Sequence[str]], *, reads: bool
) -> dict[str, list[str]]:
    """What was typed, by parameter, for `Command.words`: empty fields are left out."""
    found: dict[str, list[str]] = {}
    for parameter in parameters:
        texts = _texts(parameter, given, reads)
        if takes_options(parameter):
            texts += _changed_options(given)
        if texts:
            found[parameter.name] = texts
    return found


def _texts(parameter: Parameter, given: Mapping[str, Sequence[str]], reads: bool) -> list[str]:
    if parameter.kind in (Takes.FILE, Takes.OUTPUT, Takes.PLACE):
        return []  # nobody names files of this machine: they are uploaded and downloaded
    text = next(iter(given.get(parameter.name, ())), "")
    is_emptied = not reads and f"{EMPTY}{parameter.name}" in given
    if parameter.kind is Takes.MANY:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines or [""] * is_emptied
    if parameter.kind is Takes.SWITCH:
        return [text] if text in ("on", "off") else []
    if text:
        return [text]
    return [""] * (is_emptied and parameter.kind is Takes.TEXT)


def _changed_options(given: Mapping[str, Sequence[str]]) -> list[str]:
    names = [name.removeprefix(SET) for name in given if name.startswith(SET)]
    values = {name: (given[SET + name][0], (given.get(WAS + name) or [""])[0]) for name in names}
    return [f"{name}={new}" for name, (new, old) in values.items() if new.strip() != old.strip()]


def save_files(form: FormData, parameters: Iterable[Parameter], folder: Path) -> dict[str, list[str]]:
    """Save uploaded files in a folder, with the names that they had as far as they are harmless."""
    found: dict[str, list[str]] = {}
    for parameter in parameters:
        file = form.get(parameter.name)
        if parameter.kind is not Takes.FILE or not isinstance(file, UploadFile) or not file.filename:
            continue
        name = _SAFE.sub("-", Path(file.filename).name)[-80:].lstrip(".-") or "file"
        path = folder / name
        with path.open("wb") as target:
            shutil.copyfileobj(file.file, target)
        found[parameter.name] = [str(path)]
    return found


def endings(parameter: Parameter) -> list[str]:
    """How the name of a file may end that a command writes: its help says what kinds there are."""
    found = [ending for word, ending in _ENDINGS.items() if re.search(rf"\b{word}\b", parameter.help)]
    return found or ["json"]


def output_path(parameter: Parameter, given: Mapping[str, Sequence[str]], noun: str, folder: Path) -> Path:
    """Where a command is to write its file."""
    known, wanted = endings(parameter), next(iter(given.get(f"{ENDING}{parameter.name}", ())), "")
    return folder / f"{noun or 'file'}.{wanted if wanted in known else known[0]}"
