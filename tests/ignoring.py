"""An option that is stored and has no effect: what a test of the option must notice."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from stasis_callback.store.database import foreign


def ignore_option(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    """From now on the option `name` of instances keeps its default, whatever is set. `module` is core.web,
    core.email or core.messages.
    """
    usual = module.parse_parts

    def parse_parts(settings: type[Any], *arguments: Any) -> Any:
        made, *rest = usual(settings, *arguments)
        default = next(field.default for field in fields(settings) if field.name == name)
        object.__setattr__(made, name, default)
        return made, *rest

    monkeypatch.setattr(module, "parse_parts", parse_parts)
    # What was read before is kept under what is stored, whatever this option did then.
    monkeypatch.setattr(foreign, "_usable", foreign._usable.__wrapped__)
