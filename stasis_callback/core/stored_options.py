"""Options as they are stored, maybe by another version, which knows others or has other limits.

What somebody enters is checked strictly. What is stored is read as far as it can be used: calls must not stop because
nodes are upgraded one after another, or because limits have changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.options import OPTION_NAMES, CallOptions, OutOfRange

C = TypeVar("C")

AS_MEANT = frozenset(
    (
        "authentication", "internal_account", "min_attestation", "ask_password", "ani_rules", "dial_rules", "region",
        "caller_id_b", "type", "second_number", "require_password", "policy", "require_registered", "credential",
        "format", "secret_number",
    )
)  # fmt: skip
"""Options with no value to fall back to: somebody else would be served, another number called, or one be shown."""


@dataclass(frozen=True, slots=True)
class Usable(Generic[C]):
    """What could be read of stored options."""

    options: C
    ignored: Mapping[str, str]
    """The options that do not count as they are stored, each with the reason."""
    trouble: str
    """Why nobody can be served with it; "" where that is not so."""


@dataclass(frozen=True, slots=True)
class StoredOptions(Generic[C]):
    """How one kind of options is read."""

    parse: Callable[[Mapping[str, str]], C]
    """The strict check. Raises InvalidInput, also for unknown names."""
    names: frozenset[str]
    bare: tuple[tuple[str, str], ...] = ()
    """What stands in for the options of `AS_MEANT` that cannot be read, so that the others can be shown."""

    def read(self, stored: Mapping[str, str]) -> Usable[C]:
        """An unknown option is ignored; in place of a number out of range the nearest limit counts, and of any other
        value that cannot be used the default.
        """
        try:
            return Usable(self.parse(stored), {}, "")
        except InvalidInput:
            texts, ignored, trouble = self._usable(stored)
            return Usable(self.parse(texts), ignored, trouble)

    def changed(self, stored: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
        """What is to be stored where `given` is set ("" for the default). Raises InvalidInput for what is given; what
        another version has stored beside it is no obstacle, and stays.
        """
        merged = {name: text for name, text in {**stored, **given}.items() if text != ""}
        unknown = {name: text for name, text in given.items() if name not in self.names}
        try:
            self.parse(unknown | merged)
        except InvalidInput:
            kept, ignored, _ = self._usable(stored)
            if not ignored:
                raise
            self.parse(unknown | {name: text for name, text in {**kept, **given}.items() if text != ""})
        return merged

    def _usable(self, stored: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str], str]:
        firm = {name: text for name, text in stored.items() if name in AS_MEANT & self.names}
        ignored: dict[str, str] = {}
        trouble = self._why_not(firm)
        texts = dict(self.bare) if trouble else firm
        for name, text in stored.items():
            if name in firm:
                if trouble:
                    ignored[name] = trouble
                continue
            try:
                self.parse(texts | {name: text})
                texts[name] = text
            except OutOfRange as error:
                ignored[name] = str(error)
                texts[name] = error.nearest
            except InvalidInput as error:
                ignored[name] = str(error)
        return texts, ignored, trouble

    def _why_not(self, texts: Mapping[str, str]) -> str:
        try:
            self.parse(texts)
        except InvalidInput as error:
            return str(error)
        return ""


CALL_OPTIONS = StoredOptions(CallOptions.parse, OPTION_NAMES)
