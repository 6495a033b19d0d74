"""The house style that no linter knows: sizes, who may touch money and time, and what must not be in the tree."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from collections import Counter
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest
from lanes import LONGEST_FIRST

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "stasis_callback"
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(module.relative_to(PACKAGE)) for module in MODULES]

MODULE_LIMIT, FUNCTION_LIMIT = 600, 60

# Put together here, so that this file does not contain them.
HOSTS = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("crates", "io"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("gcr", "io"),
        ("deb", "debian", "org"),
    ]
]


@pytest.mark.parametrize("module", MODULES, ids=NAMES)
def test_a_module_can_be_read_in_one_sitting(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= MODULE_LIMIT
    functions = (n for n in ast.walk(parsed(module)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    long = {
        f.name: lines for f in functions if (lines := (f.end_lineno or 0) - f.lineno + 1) > FUNCTION_LIMIT
    }
    assert long == {}


@pytest.mark.parametrize("module", MODULES, ids=NAMES)
def test_only_the_clock_reads_time_and_no_thread_sleeps(module: Path) -> None:
    if module == PACKAGE / "clock.py":
        return
    found = [
        node.lineno
        for node in ast.walk(parsed(module))
        if (isinstance(node, ast.Import) and any(name.name == "time" for name in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "time")
        or (
            isinstance(node, ast.Attribute)
            and re.fullmatch(r"date(time)?\.(now|utcnow|today)", ast.unparse(node))
        )
    ]
    assert found == []


@pytest.mark.parametrize(
    "module",
    [m for m in MODULES if m.relative_to(PACKAGE).parts[0] in ("engine", "triggers")],
    ids=lambda m: m.name,
)
def test_who_decides_about_money_asks_the_ledger(module: Path) -> None:
    """I16. A view of an account is out of date as soon as it is read: its amounts are only for display, and code that
    decides about money does not remember them.
    """
    assert remembered_money(parsed(module)) == []


@pytest.mark.parametrize(
    "code",
    [
        "if account.balance_micros > 0: dial()",
        "free = view.balance_micros - view.held_micros",
        "from functools import cache",
        "from functools import partial, lru_cache",
        "import functools",
    ],
)
def test_the_rule_about_remembered_money_sees_it(code: str) -> None:
    assert 1 in remembered_money(ast.parse(code))


TELLS = ("_balance", "_funds_are_low")
"""Functions of the conversation that say an amount, or say that it is low; funds are held by others."""


def remembered_money(tree: ast.AST) -> list[int]:
    """Lines that use amounts of a view, but for those that say them, and imports that remember results."""
    told = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name in TELLS
        for node in ast.walk(function)
    }
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found = node.module == "functools" and any("cache" in name.name for name in node.names)
        elif isinstance(node, ast.Import):
            found = any(name.name == "functools" for name in node.names)
        elif isinstance(node, ast.Attribute):
            amount = node.attr in ("balance_micros", "held_micros", "spent_micros")
            found = amount and id(node) not in told and id(node) not in called
        else:
            continue
        if found:
            lines.append(node.lineno)
    return lines


@cache
def parsed(module: Path) -> ast.Module:
    return ast.parse(module.read_text())


def test_what_is_run_first_is_there() -> None:
    tests = ROOT / "tests"
    missing = [n for n in LONGEST_FIRST if not (tests / n).is_dir() and not (tests / f"{n}.py").is_file()]
    assert missing == []


def test_a_name_belongs_to_one_class() -> None:
    """Not in the test kit, which plays the outside world, and but for `Meta`, which peewee has in each table."""
    where: dict[str, list[str]] = {}
    for module, name in zip(MODULES, NAMES, strict=True):
        if not name.startswith("testing/"):
            for node in ast.walk(parsed(module)):
                if isinstance(node, ast.ClassDef) and node.name != "Meta":
                    where.setdefault(node.name, []).append(name)
    assert {name: modules for name, modules in where.items() if len(modules) > 1} == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not for types either. In the simulation, what watches or disturbs a world knows that world."""
    graph = grimp.build_graph("stasis_callback")
    modules = {name for name in graph.modules if not name.startswith("stasis_callback.testing.simulation")}
    imports = {name: graph.find_modules_directly_imported_by(name) & modules for name in modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_two_test_files_have_one_name() -> None:
    """They are modules of one name space: pytest would import one of them for both."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_every_invariant_has_a_line_and_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "invariants.md").read_text()
    assert re.findall(r"^\| (I\d+) \|", page, re.MULTILINE) == [f"I{n}" for n in range(1, 21)]
    missing = [
        f"{file}::{test}"
        for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
        if not re.search(rf"^(def {test}\(|{test} = )", (ROOT / file).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_no_host_of_a_package_registry_is_named() -> None:
    """Where packages come from is the business of the machine that installs them."""
    named = [
        f"{file.relative_to(ROOT)}: {host}"
        for file in tree()
        for host in HOSTS
        if host.encode() in file.read_bytes()
    ]
    assert named == []


def test_each_bug_that_is_planted_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the simulation are planted in the nightly lane only: a change that moves their place is told here, and
    one that leaves what is no program.
    """
    monkeypatch.syspath_prepend(ROOT / "tools")
    planted = importlib.import_module("planted_in_simulation")
    lost = []
    for bug in (*planted.BUGS, *planted.PUT_BACK):
        texts: dict[str, str] = {}
        for file, old, new in bug.changes:
            text = texts.get(file) or (PACKAGE / file).read_text()
            if text.count(old) != 1:
                lost.append((bug.name, file))
            texts[file] = text.replace(old, new)
        for file, text in texts.items():
            ast.parse(text, f"{file} with the bug: {bug.name}")
    assert lost == []


def tree() -> list[Path]:
    """The files of the project: what git keeps or would keep."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert ROOT / "pyproject.toml" in files
    return [file for file in files if file.is_file()]
