"""The documents say what is true: links lead somewhere, commands exist, examples give what they show."""

from __future__ import annotations

import ast
import doctest
import os
import re
import runpy
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from stasis_callback import __main__  # noqa: F401 - registers `run`
from stasis_callback.admin.app import app, execute
from stasis_callback.admin.node.reference import commands
from stasis_callback.core.options import CallOptions

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("sounds/*.md")])
OPERATIONS = ROOT / "docs" / "operations.md"
GUIDES = [page for page in PAGES if page.parent.name == "guides"]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Not the user or group of this name, nor the folder, nor the container; up to a remark or the next command.
COMMAND = re.compile(
    r"(?:(?<!-[ogu] )(?<!exec )(?<!lib/)\bstasis-callback|^sc) ([\w-].*?)(?:  | [&|;>] ?|$)", re.MULTILINE
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name)
written_page = pytest.mark.parametrize("page", [p for p in PAGES if p.name != "cli.md"], ids=name)
every_guide = pytest.mark.parametrize("page", GUIDES, ids=name)


def anchors(page: Path) -> set[str]:
    """The anchors GitHub makes of a page's headings."""
    prose = FENCE.sub("", page.read_text())
    titles = re.findall(r"^#+ +(.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@every_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name(page)}: {target}"
        assert not anchor or anchor in anchors(file), f"{name(page)}: {target}"


# --- commands ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known_commands() -> dict[tuple[str, ...], Any]:
    """Every command and group by its words, without `stasis-callback`; the hidden one too."""
    root = get_command(app)
    known = {tuple(context.command_path.split()[1:]): command for command, context in commands(root)}
    return known | {("docs",): root.commands["docs"]}  # type: ignore[attr-defined]


@written_page
def test_every_command_shown_exists(page: Path, known_commands: dict[tuple[str, ...], Any]) -> None:
    for line in commands_in(page, {words[0] for words in known_commands if len(words) == 2}):
        words = line.split()
        path = next(tuple(words[:n]) for n in (3, 2, 1, 0) if tuple(words[:n]) in known_commands)
        command, rest = known_commands[path], words[len(path) :]
        is_group = hasattr(command, "commands")
        assert not (is_group and rest and not rest[0].startswith("-")), f"{name(page)}: {line}"
        options = {
            text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts)
        }
        unknown = {word for word in rest if word.startswith("--")} - options - {"--help"}
        assert not unknown, f"{name(page)}: {line}"


def commands_in(page: Path, nouns: set[str]) -> Iterator[str]:
    """The commands in a page's blocks and code spans, without `stasis-callback`; spans may begin with a noun."""
    text = page.read_text()
    for block in (block for _, block in FENCE.findall(text)):
        yield from COMMAND.findall(block)
    for span in re.findall(r"`([^`]+)`", FENCE.sub("", text)):
        span = " ".join(span.split())
        with_name = f"stasis-callback {span}" if span.split(" ")[0] in nouns and " " in span else span
        yield from COMMAND.findall(with_name)


# --- examples ------------------------------------------------------------------------------------------------------


def blocks(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: the words behind the fence, and the text."""
    return [(info.strip(), text) for info, text in FENCE.findall(page.read_text())]


def steps(console: str) -> Iterator[tuple[str, str]]:
    """The commands of a `console` block, each with the output shown below it."""
    for step in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, _, output = step.partition("\n")
        yield command, output


@every_guide
def test_the_commands_of_a_guide_print_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("STASIS_CALLBACK_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    assert execute(["init"]) == 0
    capsys.readouterr()
    for info, text in blocks(page):
        if info.startswith("csv "):
            Path(info.removeprefix("csv ")).write_text(text)
        for command, shown in steps(text) if info == "console" else ():
            words = shlex.split(command)
            assert words.pop(0) == "stasis-callback"
            execute(words)
            captured = capsys.readouterr()
            printed = [line.rstrip() for line in (captured.out + captured.err).splitlines()]
            assert printed == shown.splitlines(), command


@every_page
def test_python_examples_give_what_they_show(page: Path) -> None:
    source = "".join(text for info, text in blocks(page) if info == "python" and ">>>" in text)
    examples = doctest.DocTestParser().get_doctest(source, {}, name(page), str(page), 0)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples, out=said.append)
    assert not said, "".join(said)


# --- nothing is left out -------------------------------------------------------------------------------------------


def test_the_generated_pages_are_up_to_date() -> None:
    tool = ROOT / "tools" / "generate_reference.py"
    for page, text in runpy.run_path(str(tool))["pages"]().items():
        assert page.read_text() == text, f"run .venv/bin/python {name(tool)}"


def test_every_option_and_setting_is_in_the_reference() -> None:
    reference = ROOT / "docs" / "reference"
    for option in fields(CallOptions):
        assert f"| `{option.name}` |" in (reference / "options.md").read_text()
    settings = (reference / "settings.md").read_text()
    for line in (ROOT / "stasis_callback" / "settings.py").read_text().splitlines():
        if setting := re.match(r"    (\w+): .*(?:= Field\(|= Path)", line):
            assert re.search(rf"\| `(\w+\.)?{setting[1]}` \|", settings), setting[1]


def test_every_log_event_is_explained() -> None:
    rows = re.findall(r"^\| (`.*?) \| (?:info|warning|error) \|", OPERATIONS.read_text(), re.MULTILINE)
    explained = {event for row in rows for event in re.findall(r"`([a-z_.]+)`", row)}
    logged = {
        event
        for file in (ROOT / "stasis_callback").rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and _is_log(call.func) and call.args
        for event in _texts(call.args[0])
    }
    assert "leg.settled" in logged
    assert logged - explained == set()


def _is_log(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "log"
    )


def _texts(node: ast.expr) -> set[str]:
    return {
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def test_every_decision_is_named_in_the_architecture() -> None:
    architecture = (ROOT / "ARCHITECTURE.md").read_text()
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert decisions
    numbers = [int(decision.name[:4]) for decision in decisions]
    assert len(set(numbers)) == len(numbers)  # a number is given once, and never again
    for number, decision in zip(numbers, decisions, strict=True):
        assert decision.read_text().startswith(f"# {number}. ")
        assert f"(docs/decisions/{decision.name})" in architecture


def test_every_test_file_named_in_a_document_exists() -> None:
    for page in PAGES:
        for path in re.findall(r"`(tests/[\w/.]*\.py)", page.read_text()):
            assert (ROOT / path).is_file(), f"{name(page)}: {path}"
