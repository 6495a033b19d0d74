"""Descriptions of instance options, shared by `web` and `email`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from stasis_callback.core.instances import NOT_FOR_INSTANCES, names_of
from stasis_callback.core.limits import describe_limits
from stasis_callback.core.options import CallOptions, describe_options


def described(settings: type[Any]) -> list[dict[str, str]]:
    """All options of an instance: its own settings, the limits, and the options of its calls."""
    own_names, _ = names_of(settings)
    own = [asdict(info) for info in describe_options(settings)]
    limits = [
        {"name": name, "default": default, "values": "times/seconds", "meaning": meaning}
        for name, default, meaning in describe_limits()
    ]
    of_calls = [
        asdict(info)
        for info in describe_options(CallOptions)
        if info.name not in NOT_FOR_INSTANCES | own_names
    ]
    return own + limits + of_calls


def options_in_words(
    settings: type[Any], stored: Mapping[str, str], in_force: Mapping[str, str]
) -> list[dict[str, object]]:
    """All options of one instance with value and origin; `in_force` are the effective options of its calls."""
    return [
        {
            "option": info["name"],
            "value": stored.get(info["name"], in_force.get(info["name"], info["default"])),
            "set": "here" if info["name"] in stored else "default",
            "meaning": info["meaning"],
        }
        for info in described(settings)
    ]
