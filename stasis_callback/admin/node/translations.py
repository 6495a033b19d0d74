"""`translation`: test translation rules before calls depend on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypedDict

import typer

from stasis_callback.admin.context import AsJson
from stasis_callback.admin.output import one_line, print_json
from stasis_callback.core.numbers import Rule, clean, dialable, parse_rules, translate

app = typer.Typer(name="translation", help="Translation rules of access numbers.")


class RuleStep(TypedDict):
    """The result of one rule."""

    rule: str
    matched: bool
    result: str


class Translation(TypedDict):
    """The result of all rules. `result` is None if the input is not a number, `dialed` if it cannot be dialled."""

    given: str
    steps: list[RuleStep]
    result: str | None
    dialed: str | None


@app.command("test")
def try_out(
    rules: Annotated[
        str,
        typer.Argument(
            metavar="RULES", help="Translation rules, for example 's/^00//; s/^0/420/'; '' for no rules."
        ),
    ],
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="NUMBER...", help="Numbers as a trunk delivers them or subscribers dial them."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show the result of each rule for a number, and whether the result can be dialled."""
    parsed = parse_rules(rules)
    results = [_translated(parsed, number) for number in given]
    if as_json:
        print_json(results)
        return
    for result in results:
        typer.echo("\n".join(map(one_line, _in_words(result))))


def _translated(rules: tuple[Rule, ...], given: str) -> Translation:
    number = clean(given)
    if number is None:
        return Translation(given=given, steps=[], result=None, dialed=None)
    steps = []
    for rule in rules:
        matched = rule.pattern.search(number) is not None
        number = translate((rule,), number)
        steps.append(RuleStep(rule=rule.source, matched=matched, result=number))
    result = number.removeprefix("+")
    return Translation(given=given, steps=steps, result=result, dialed=dialable(result))


def _in_words(translation: Translation) -> Iterator[str]:
    result, dialed = translation["result"], translation["dialed"]
    yield translation["given"]
    if result is None:
        yield "  is not a phone number"
        return
    width = max((len(step["rule"]) for step in translation["steps"]), default=0)
    for step in translation["steps"]:
        yield f"  {step['rule']:<{width}}  {step['result'] if step['matched'] else '(does not match)'}"
    if dialed is None:
        yield f"  = {result}, which cannot be dialled: it needs 3 to 15 digits"
    else:
        yield f"  = {result}, " + ("which can be dialled" if dialed == result else f"dialled as {dialed}")
