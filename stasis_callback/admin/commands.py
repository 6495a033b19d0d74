"""The commands described for callers in this process, and run for them: what the console shows and does.

Nothing about a command is repeated here: its parameters, their help and what they refuse are read from the command
tree, and a command is run by the words that a person would type.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stasis_callback.admin.app import execute, tree
from stasis_callback.admin.context import WholeNumber, invocation
from stasis_callback.admin.node.reference import commands
from stasis_callback.admin.taking import Block, Taken, TakenFile, TakenTable, TakenText, taking

if TYPE_CHECKING:
    from stasis_callback.store.stores import Stores

_CHOICES = re.compile(r"[a-z_]+(\|[a-z_]+)+")
_OUTPUT = ("as_json", "as_csv", "quiet")


class Takes(StrEnum):
    """What a parameter takes."""

    TEXT = "text"
    CHOICE = "choice"
    FLAG = "flag"
    """Given or not."""
    SWITCH = "switch"
    """On, off, or left as it is."""
    MANY = "many"
    """Any number of texts."""
    FILE = "file"
    """A file that is read."""
    OUTPUT = "output"
    """A file that is written."""
    PLACE = "place"
    """A folder of the machine."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a command. `option` is how it is written, "" for an argument; `off` the opposite of a switch;
    `most` the largest number that it takes, None where there is none.
    """

    name: str
    kind: Takes
    option: str
    off: str
    metavar: str
    help: str
    required: bool
    default: str
    choices: tuple[str, ...]
    most: int | None = None

    @property
    def label(self) -> str:
        """What to call it: the option without its dashes, or the argument."""
        return (self.option.removeprefix("--") or self.name).replace("-", " ").replace("_", " ")


@dataclass(frozen=True, slots=True)
class Command:
    """A command: `path` are its words, `help` says what it does, in whole sentences."""

    path: tuple[str, ...]
    help: str
    parameters: tuple[Parameter, ...]
    formats: tuple[str, ...]
    """The options `--json` and `--csv`, where it has them."""

    @property
    def name(self) -> str:
        """Its words in one."""
        return " ".join(self.path)

    @property
    def noun(self) -> str:
        """What it is about; "" for a command of its own."""
        return self.path[0] if len(self.path) > 1 else ""

    @property
    def verb(self) -> str:
        """What is done to its noun; of a command of its own, its name."""
        return " ".join(self.path[1:]) or self.path[0]

    @property
    def summary(self) -> str:
        """The first sentences of its help."""
        return " ".join(self.help.partition("\n\n")[0].split())

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of this name."""
        return next((found for found in self.parameters if found.name == name), None)

    def words(self, given: Mapping[str, Sequence[str]], *extra: str) -> list[str]:
        """What a person would type. `given` has texts by parameter; one that is not there is left out."""
        options, arguments = list(extra), []
        for parameter in self.parameters:
            texts = list(given.get(parameter.name, ()))
            if not parameter.option:
                arguments += texts or ([""] if parameter.required else [])
            elif parameter.kind is Takes.FLAG:
                options += [parameter.option] * bool(texts)
            elif parameter.kind is Takes.SWITCH:
                options += [parameter.option if text == "on" else parameter.off for text in texts[:1]]
            else:
                options += [f"{parameter.option}={text}" for text in texts]
        while arguments and arguments[-1] == "":
            arguments.pop()
        return [*self.path, *options, *(["--", *arguments] if arguments else [])]


@dataclass(frozen=True, slots=True)
class Done:
    """A command that was run: its exit code (0 done, 1 findings or a failure, 2 refused), and what it printed.

    `wanted` is the secret that it asks for, when it was not given; `is_long`: it was refused as it takes too long for
    a page, and can be had as a file.
    """

    code: int
    blocks: tuple[Block, ...]
    wanted: str
    is_long: bool

    @property
    def text(self) -> str:
        """All text on standard output."""
        return "".join(
            block.text for block in self.blocks if isinstance(block, TakenText) and not block.is_error
        )

    @property
    def complaint(self) -> str:
        """All text on standard error."""
        return "".join(block.text for block in self.blocks if isinstance(block, TakenText) and block.is_error)

    @property
    def file(self) -> bytes:
        """The file that it printed; b"" if it printed none."""
        return next((block.content for block in self.blocks if isinstance(block, TakenFile)), b"")

    @property
    def tables(self) -> list[TakenTable]:
        """All tables."""
        return [block for block in self.blocks if isinstance(block, TakenTable)]


@cache
def described() -> Mapping[str, Command]:
    """All commands by their words, hidden ones left out."""
    return {command.name: command for command in _described()}


def groups() -> Mapping[str, str]:
    """What each noun is, in the words of its help."""
    found: Mapping[str, Any] = tree().commands
    return {name: str(group.help or "") for name, group in found.items() if hasattr(group, "commands")}


def run(words: Sequence[str], operator: str, stores: Stores, secret: str | None = None) -> Done:
    """Run a command for an operator, as the shell would, on the database that is open."""
    caller = Taken(stores, secret)
    config = ["--config", str(invocation.config)] if invocation.config else []

    def once() -> int:
        with taking(caller):
            return execute([*config, "--as", operator, *words])

    code = copy_context().run(once)
    return Done(code, caller.blocks(), caller.wanted, caller.is_long)


def _described() -> Iterator[Command]:
    for command, context in commands(tree()):
        path = tuple(context.command_path.split()[1:])
        if hasattr(command, "commands") or not path:
            continue
        own = [p for p in command.params if p.name != "help"]
        shown = [_parameter(p) for p in own if p.name not in _OUTPUT and not getattr(p, "hidden", False)]
        formats = tuple(p.opts[0] for p in own if p.name in ("as_json", "as_csv"))
        yield Command(path, str(command.help or ""), tuple(shown), formats)


def _parameter(found: Any) -> Parameter:
    is_option = found.param_type_name == "option"
    metavar = str(found.metavar or "")
    choices = tuple(metavar.split("|")) if _CHOICES.fullmatch(metavar) else ()
    default, parser = found.default, found.type_descriptor.parameter_info.parser
    return Parameter(
        name=str(found.name),
        kind=_kind(found, choices),
        option=str(found.opts[0]) if is_option else "",
        off=str(found.secondary_opts[0]) if is_option and found.secondary_opts else "",
        metavar=metavar,
        help=str(getattr(found, "help", "") or ""),
        required=bool(found.required),
        default=str(default) if isinstance(default, str | int) and not isinstance(default, bool) else "",
        choices=choices,
        most=parser.most if isinstance(parser, WholeNumber) else None,
    )


def _kind(found: Any, choices: tuple[str, ...]) -> Takes:
    if getattr(found, "is_flag", False):
        return Takes.SWITCH if found.secondary_opts else Takes.FLAG
    annotation = found.type_descriptor.annotation
    if annotation is Path and found.metavar in ("DIR", "FOLDER"):
        return Takes.PLACE
    if annotation is Path:
        return Takes.OUTPUT if found.type_descriptor.parameter_info.writable else Takes.FILE
    if getattr(found, "multiple", False) or found.nargs == -1:
        return Takes.MANY
    return Takes.CHOICE if choices else Takes.TEXT
