"""Changes the rating and the ledger in one small way at a time, and reports each change that no test notices.

    .venv/bin/python tools/mutants.py                 all parts; exit code 1 when a survivor is not explained
    .venv/bin/python tools/mutants.py rating          one part
    .venv/bin/python tools/mutants.py --minutes 90    stop after 90 minutes (120)

cosmic-ray makes the changes, in copies of the tree. Survivors are explained in docs/mutants.md: a change that stands
there and is found by now is reported too.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from planted_bugs import ROOT, copy_tree, environment

EXPLAINED = ROOT / "docs" / "mutants.md"
SLOWER = 5
"""How many times longer than without a change the tests may take. More, and the change is found: it does not end."""

OPERATORS = (
    "AddNot",
    "NumberReplacer",
    "RemoveDecorator",
    "ZeroIterationForLoop",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceContinueWithBreak",
    "ReplaceBreakWithContinue",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceUnaryOperator_Delete_Invert",
    "ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_FloorDiv|FloorDiv_Mul|Mod_FloorDiv|BitAnd_BitOr)",
    "ReplaceComparisonOperator_(Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Lt_Gt|Gt_Lt|LtE_GtE|GtE_LtE)",
    "ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Is_IsNot|IsNot_Is)",
)
"""What cosmic-ray is asked for. The rest (`+` to `**`, `<` to `is`) is found by any test that reaches the line."""

Change = tuple[str, str, str]
"""A file, the line as it is, and the line as it was changed to."""


@dataclass(frozen=True)
class Part:
    """Modules, and the tests that say what they must do. The first failure ends a run."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    options: tuple[str, ...] = ()


LEDGER_TESTS = (
    "tests/unit/test_ledger.py",
    "tests/unit/test_account_rules.py",
    "tests/unit/test_calls.py",
    "tests/unit/test_vouchers.py",
    "tests/unit/test_books_prove_themselves.py",
    "tests/unit/test_pseudonyms.py",
    "tests/property/test_units_are_repeatable.py::test_a_hiccup_changes_neither_the_answer_nor_the_tables",
)
PARTS = (
    Part("ledger", ("store/money/ledger.py",), LEDGER_TESTS),
    Part(
        "rating", ("core/rating.py",), ("tests/unit/test_rating.py", "tests/property/test_core_properties.py")
    ),
    Part("books", ("store/money/chain.py", "store/money/reading.py", "store/money/views.py"), LEDGER_TESTS),
)


@dataclass
class Result:
    """What became of the changes of a part."""

    tried: int = 0
    survived: list[Change] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Why the part could not be tried to its end."""


def command_of(part: Part) -> list[str]:
    """The command whose failure means that a change was noticed. The same examples each time, and a quick start."""
    plugins = ["_hypothesis_pytestplugin", "pytest_timeout", "profiles", "no:cacheprovider"]
    options = ["-q", "-x", "--timeout=0", "--hypothesis-profile=mutants", *part.options]
    words = [word for plugin in plugins for word in ("-p", plugin)]
    return [sys.executable, "-m", "pytest", *words, *options, *part.tests]


def configuration(part: Part, longest_s: float) -> str:
    """The configuration of cosmic-ray for a part."""
    modules = json.dumps([f"stasis_callback/{module}" for module in part.modules])
    command = json.dumps(" ".join(f"'{word}'" for word in command_of(part)))
    unwanted = json.dumps(rf"^(?!core/({'|'.join(OPERATORS)})$)")
    return f"""[cosmic-ray]
module-path = {modules}
timeout = {longest_s:.1f}
excluded-modules = []
test-command = {command}
[cosmic-ray.distributor]
name = "local"
[cosmic-ray.filters.operators-filter]
exclude-operators = [{unwanted}]
"""


def try_part(part: Part, until_s: float) -> Result:
    """Make each change of a part in a copy of the tree, and run its tests."""
    result = Result()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy_tree(folder)
        started_s = time.monotonic()
        if _run(folder, command_of(part), until_s):
            late = time.monotonic() > until_s
            why = (
                "there was no time to run the tests even once"
                if late
                else "the tests fail without any change"
            )
            result.broken.append(f"{part.name}: {why}")
            return result
        longest_s = SLOWER * (time.monotonic() - started_s)
        (folder / "mutants.toml").write_text(configuration(part, longest_s))
        _cosmic_ray(folder, "cosmic-ray", until_s, "init", "mutants.toml", "mutants.sqlite")
        _cosmic_ray(folder, "cr-filter-operators", until_s, "mutants.sqlite", "mutants.toml")
        if _cosmic_ray(folder, "cosmic-ray", until_s, "exec", "mutants.toml", "mutants.sqlite"):
            result.broken.append(f"{part.name}: not all changes were tried in time")
        _read(folder, result)
    return result


def _read(folder: Path, result: Result) -> None:
    dumped = subprocess.run(
        [Path(sys.executable).with_name("cosmic-ray"), "dump", "mutants.sqlite"],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for line in dumped.stdout.splitlines():
        item, tried = json.loads(line)
        if tried is None or tried["worker_outcome"] == "skipped":
            continue
        result.tried += 1
        (mutation,) = item["mutations"]
        if tried["test_outcome"] == "survived":
            result.survived.append(change_in(mutation["module_path"], tried["diff"]))
        elif tried["test_outcome"] != "killed":
            result.broken.append(f"{mutation['module_path']}: {tried['output'][-300:]}")


def change_in(path: str, diff: str) -> Change:
    """The change that a diff makes, without regard to spaces."""
    old, new = (
        " ".join(" ".join(re.findall(rf"^{sign}(?!{sign}{sign})(.*)$", diff, re.MULTILINE)).split())
        for sign in (r"-", r"\+")
    )
    return path, old, new


def explained(page: str) -> set[Change]:
    """The survivors that the page explains: its diffs, below headings with the names of files."""
    changes = set()
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        path = section.splitlines()[0].strip("`")
        for diff in re.findall(r"^```diff\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
            changes.add(change_in(path, diff))
    return changes


def _cosmic_ray(folder: Path, name: str, until_s: float, *arguments: str) -> int:
    return _run(folder, [str(Path(sys.executable).with_name(name)), *arguments], until_s)


def _run(folder: Path, command: list[str], until_s: float) -> int:
    """The exit code of a command; not 0 when it takes longer than there is time."""
    env = environment(folder) | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    env["PYTHONPATH"] += f":{folder / 'tests'}"
    try:
        return subprocess.run(
            command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False, timeout=max(until_s - time.monotonic(), 1),
        ).returncode  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(part.name for part in PARTS)} (all)")
    parser.add_argument("--minutes", type=int, default=120, help="maximum duration in minutes (120)")
    asked = parser.parse_args(arguments)
    parts = [part for part in PARTS if not asked.parts or part.name in asked.parts]
    started_s = time.monotonic()
    until_s = started_s + 60 * asked.minutes
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda part: try_part(part, until_s), parts))
    known = explained(EXPLAINED.read_text())
    modules = {f"stasis_callback/{module}" for part in parts for module in part.modules}
    survived = {change for result in results for change in result.survived}
    broken = [sentence for result in results for sentence in result.broken]
    for path, old, new in sorted(survived - known):
        broken.append(f"survived, and is not explained:\n  {path}\n  - {old}\n  + {new}")
    for path, old, new in sorted(known - survived):
        if path in modules:
            broken.append(f"explained in docs/mutants.md, but found or gone:\n  {path}\n  - {old}\n  + {new}")
    print(*broken, sep="\n")
    tried, minutes = sum(result.tried for result in results), (time.monotonic() - started_s) / 60
    print(
        f"{tried} changes in {minutes:.0f} minutes, {len(survived)} not noticed by any test; {len(broken)} to do"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
