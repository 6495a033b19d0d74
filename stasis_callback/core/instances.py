"""What web, e-mail and message instances have in common: own settings, limits and call options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.limits import LIMIT_NAMES, RequestLimits
from stasis_callback.core.options import OPTION_NAMES, parse_values

S = TypeVar("S")

NOT_FOR_INSTANCES = frozenset(
    (
        "authentication", "ask_password", "reject_cause", "ani_rules", "login_attempts", "register_ani",
        "lockout_failures", "lockout_s", "webhooks", "min_attestation",
    )
)  # fmt: skip
"""Call options that only apply to missed calls."""


def names_of(settings: type[Any]) -> tuple[frozenset[str], frozenset[str]]:
    """The names of an instance's own settings, and of all its options."""
    own = frozenset(f.name for f in fields(settings))
    return own, own | LIMIT_NAMES | (OPTION_NAMES - NOT_FOR_INSTANCES)


def parse_parts(
    settings: type[S], stored: Mapping[str, str], noun: str
) -> tuple[S, RequestLimits, dict[str, str]]:
    """Split text values into settings, limits and call options, and check them; `noun` is the command's.
    Raises InvalidInput.
    """
    own, every = names_of(settings)
    unknown = stored.keys() - every
    if unknown:
        raise InvalidInput(f"unknown option {min(unknown)!r}: see `stasis-callback {noun} options`")

    def part(names: frozenset[str]) -> dict[str, str]:
        return {name: text for name, text in stored.items() if name in names}

    return (
        settings(**parse_values(settings, part(own))),
        RequestLimits.parse(part(LIMIT_NAMES)),
        part(OPTION_NAMES - own),
    )
