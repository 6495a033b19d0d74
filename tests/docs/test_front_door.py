"""What a stranger meets first: the README's first screen, words that are explained, dates, templates, a release."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
import zipfile
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

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
        "## Guarantees",
    ]
    places = [README.index(text) for text in order]
    assert places == sorted(places)


def test_the_sums_of_the_demo_shown_agree() -> None:
    demo = README.partition("<!-- demo output -->")[2].partition("\n```\n\n")[0]
    charged = [
        float(amount) for amount in re.findall(r"^ .* charges leg .* (\d\.\d+) USD$", demo, re.MULTILINE)
    ]
    recorded = [float(amount) for amount in re.findall(r"  \d+ +(\d\.\d+)$", demo, re.MULTILINE)]
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


# --- habits --------------------------------------------------------------------------------------------------------


def test_every_hook_runs_what_is_here_and_fetches_nothing() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"repo: (.*)", text) == ["local"]
    assert set(re.findall(r"language: (.*)", text)) == {"system"}
    assert re.findall(r"entry: \.venv/bin/(.*)", text) == ["ruff check", "ruff format --check", "codespell"]


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    assert set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE)) == set(phony[1].split())


def test_a_bug_report_asks_for_what_is_needed() -> None:
    bug = (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.md").read_text()
    for wanted in (
        "stasis-callback --version",
        "asterisk -V",
        "stasis-callback doctor",
        "log",
        "SECURITY.md",
    ):
        assert wanted in bug
    assert (ROOT / ".github" / "ISSUE_TEMPLATE" / "feature.md").is_file()
    assert "make lint test" in (ROOT / ".github" / "pull_request_template.md").read_text()


def test_the_container_of_a_developer_is_debian_and_lints() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["image"].startswith("debian:")
    assert container["postCreateCommand"] == "make lint"


def test_the_package_is_typed_and_says_so() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (ROOT / "stasis_callback" / "py.typed").is_file()
    assert "Typing :: Typed" in project["classifiers"]
    assert project["license"] == "MIT"  # an SPDX expression; a classifier of the licence beside it is refused


def release() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "release.py"))


def pages(root: Path, address: str = "https://code.example") -> None:
    """The pages that name the address of the repository."""
    for page in release()["PAGES"]:
        (root / page).parent.mkdir(exist_ok=True)
        (root / page).write_text(f"git clone {address}\n")


@pytest.mark.parametrize(
    ("version", "heading", "wrong"),
    [
        ("1.2.3", "## 1.2.3 (2027-01-31)", []),
        ("1.2.3", "## 1.2.3 (not released)", ["no date"]),
        ("1.2.3", "## 1.2.3 (2027-02-31)", ["no date"]),
        ("1.2.3", "## 1.2.2 (2027-01-31)", ["no section 1.2.3"]),
        ("1.2.4", "## 1.2.4 (2027-01-31)", ["pyproject.toml says 1.2.3"]),
        ("", "## 1.2.3 (2027-01-31)", ["not a version"]),
    ],
)
def test_a_release_is_checked(tmp_path: Path, version: str, heading: str, wrong: list[str]) -> None:
    links = "".join(f'{name} = "https://code.example/{name}"\n' for name in release()["LINKS"])
    (tmp_path / "pyproject.toml").write_text(f'[project]\nversion = "1.2.3"\n[project.urls]\n{links}')
    (tmp_path / "CHANGELOG.md").write_text(f"# Changes\n\n{heading}\n")
    pages(tmp_path)
    found = release()["wrong_in_tree"](tmp_path, version)
    assert len(found) == len(wrong)
    assert all(part in sentence for part, sentence in zip(wrong, found, strict=True))


def test_a_release_without_the_address_of_the_repository_is_not_fit(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nversion = "1.2.3"\nurls.Source = "https://a.example"\n'
    )
    (tmp_path / "CHANGELOG.md").write_text("## 1.2.3 (2027-01-31)\n")
    pages(tmp_path, "REPOSITORY")
    assert release()["wrong_in_tree"](tmp_path, "1.2.3") == [
        "pyproject.toml has no address under [project.urls] for Issues, Changelog",
        "the address of the repository is missing in README.md and docs/quickstart.md: replace REPOSITORY",
    ]


def test_a_wheel_without_configuration_or_sounds_is_not_released(tmp_path: Path) -> None:
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for part in release()["PARTS"][:-1]:
            file.writestr(part, "")
    assert [sentence.split(" has no ")[1] for sentence in release()["missing_in_wheel"](wheel)] == [
        "stasis_callback/_data/sounds/en/manifest.toml",
        "sounds",
    ]
