"""Options of a callback on the command line: `--set name=value`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import require_language
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.options import OPTION_NAMES

if TYPE_CHECKING:
    from stasis_callback.store.stores import Stores

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set an option (see `access-number options`); repeatable; `name=` restores the default.",
    ),
]


def parse_options(
    words: Iterable[str], names: frozenset[str] = OPTION_NAMES, see: str = "access-number options"
) -> dict[str, str]:
    """Parse `name=value` arguments. Raises InvalidInput for unknown or repeated names; the store checks values."""
    given: dict[str, str] = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign:
            raise InvalidInput(f"{word!r} is not an option: write name=value")
        if name not in names:
            raise InvalidInput(f"unknown option {name!r}: see `stasis-callback {see}`")
        if name in given:
            raise InvalidInput(f"option {name!r} is given twice")
        given[name] = text
    return given


def require_what_is_named(s: Stores, given: Mapping[str, str]) -> None:
    """Raises InvalidInput for an account, web instance, language or region that does not exist, before a call depends
    on it.
    """
    from stasis_callback.core.numbering import is_emergency, known_region

    if account := given.get("internal_account"):
        s.accounts.named(account)
    if webhooks := given.get("webhooks"):
        s.web_instances.named(webhooks)
    region = given.get("region", "")
    if region and not known_region(region):
        raise InvalidInput(
            f"region {region!r} is unknown: write a two-letter country code in capitals, for example GB"
        )
    if is_emergency(given.get("second_number", "")):
        raise InvalidInput(
            "second_number is an emergency number, which is never called: write another number"
        )
    if languages := given.get("languages"):
        for language in languages.split(","):
            require_language(language)
