"""docs/reference/cli.md is what the commands say about themselves."""

from __future__ import annotations

from pathlib import Path

from typer.main import get_command

from stasis_callback import __main__  # noqa: F401 - registers `run`
from stasis_callback.admin.app import app
from stasis_callback.admin.node.reference import cli_reference, commands
from stasis_callback.console.rendering import texts
from stasis_callback.core.options import OPTION_GROUPS, OPTION_NAMES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference" / "cli.md"


def test_the_reference_is_up_to_date() -> None:
    assert PAGE.read_text() == cli_reference(get_command(app)), (
        "run `stasis-callback docs > docs/reference/cli.md`"
    )


def test_every_command_argument_and_option_has_help() -> None:
    for command, context in commands(get_command(app)):
        assert (command.help or "").strip().endswith("."), context.command_path
        for parameter in command.params:
            text = getattr(parameter, "help", None)
            assert text, f"{context.command_path} {parameter.name}"
            assert text.rstrip().endswith((".", ")", "]", ";")) or "'" in text, text


def test_the_guide_says_what_every_option_is_for() -> None:
    guide = (DOCS / "guides" / "access-numbers.md").read_text()
    _, _, explained = guide.partition("## All options by purpose")
    chapters = [part.partition("\n")[::2] for part in explained.split("\n### ")[1:]]
    # The console has the same groups in the same order, under the same headings.
    assert [heading for heading, _ in chapters] == list(texts("en")["option_groups"].values())
    assert list(texts("en")["option_groups"]) == list(OPTION_GROUPS)
    for (heading, chapter), names in zip(chapters, OPTION_GROUPS.values(), strict=True):
        assert {name for name in names if f"`{name}`" not in chapter} == set(), heading
    grouped = [name for names in OPTION_GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(OPTION_NAMES)
