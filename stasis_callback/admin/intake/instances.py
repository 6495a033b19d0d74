"""The commands of web, e-mail and message instances, and the descriptions of their options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import require_change, store
from stasis_callback.admin.intake.call_options import parse_options, require_what_is_named
from stasis_callback.admin.listing import print_records
from stasis_callback.admin.output import print_json, print_list
from stasis_callback.core.instances import NOT_FOR_INSTANCES, names_of
from stasis_callback.core.limits import describe_limits
from stasis_callback.core.options import CallOptions, describe_options

if TYPE_CHECKING:
    from stasis_callback.store.intake.instances import Instances, InstanceView
    from stasis_callback.store.stores import Stores


@dataclass(frozen=True)
class InstanceCommands:
    """`add`, `set`, `list`, `show`, `remove` and `options` of one kind of instances; their nouns name them."""

    noun: str
    """`web`, `e-mail` or `message`, as sentences have it."""
    key: str
    """What the name of an instance is called: `name` or `address`."""
    settings: type[Any]
    """Its own options, beside those of its calls."""
    instances: Callable[[Stores], Instances[Any]]
    call_options: Callable[[InstanceView[Any]], Mapping[str, str]]
    """The options in force for calls of an instance."""
    more: Callable[[Stores, str], Mapping[str, Sequence[str]]] = lambda _stores, _name: {}
    """What `show` tells beside the options."""
    check: Callable[[Stores, Mapping[str, str]], None] = require_what_is_named
    headline: Callable[[str], str] = lambda _name: ""
    """What is printed behind the name: where the instance is reached."""
    warn: Callable[[InstanceView[Any]], None] = lambda _view: None

    def parsed(self, options: list[str] | None) -> dict[str, str]:
        """`NAME=VALUE` texts as a mapping. Raises InvalidInput."""
        _, names = names_of(self.settings)
        return parse_options(options or (), names, f"{self.noun.replace('-', '')} options")

    def add(self, name: str, options: list[str] | None, **fixed: str) -> None:
        """Add an instance; `fixed` are options with a parameter of their own."""
        given = {option: text for option, text in self.parsed(options).items() if text} | fixed
        with store() as s, self._recorded(s, name):
            self.check(s, given)
            self.instances(s).add(name, given)
            view = self.instances(s).named(name)
        typer.echo(f"{self.noun} instance {name} added" + self._at(name))
        self.warn(view)

    def change(self, name: str, options: list[str] | None, enabled: bool | None) -> None:
        """Change the given options, all or none of them."""
        require_change(options, enabled)
        given = self.parsed(options)
        with store() as s, self._recorded(s, name):
            self.check(s, given)
            self.instances(s).change(name, given, enabled=enabled)
            view = self.instances(s).named(name)
        typer.echo(f"{self.noun} instance {name} changed")
        self.warn(view)

    def list_all(self, as_csv: bool, as_json: bool) -> None:
        """All instances with their non-default options."""
        with store() as s:
            found = self.instances(s).all()
        rows = [
            {self.key: view.name, "enabled": view.enabled, "options": dict(view.stored)} for view in found
        ]
        print_records(rows, (self.key, "enabled", "options"), as_csv=as_csv, as_json=as_json)

    def show(self, name: str, as_json: bool) -> None:
        """All options of an instance."""
        with store() as s:
            view = self.instances(s).named(name)
            more = self.more(s, name)
        rows = options_in_words(self.settings, view.stored, self.call_options(view))
        if as_json:
            values = {str(row["option"]): row["value"] for row in rows}
            record = {self.key: view.name, "enabled": view.enabled, "options": values}
            print_json(
                record | {title.lower().replace(" ", "_"): list(found) for title, found in more.items()}
            )
            return
        typer.echo(f"{view.name} ({'enabled' if view.enabled else 'disabled'})" + self._at(name))
        print_list(rows, ("option", "value", "set", "meaning"), as_json=False)
        for title, found in more.items():
            typer.echo(f"\n{title}: {', '.join(found) or 'none'}")

    def remove(self, name: str) -> None:
        """Remove an instance."""
        with store() as s, self._recorded(s, name):
            self.instances(s).remove(name)
        typer.echo(f"{self.noun} instance {name} removed")

    def options(self, as_csv: bool, as_json: bool) -> None:
        """All options with default, allowed values and meaning."""
        print_records(
            described(self.settings), ("name", "default", "values", "meaning"), as_csv=as_csv, as_json=as_json
        )

    def _recorded(self, s: Stores, name: str) -> AbstractContextManager[None]:
        return recorded(s, self.noun.replace("-", ""), name)

    def _at(self, name: str) -> str:
        headline = self.headline(name)
        return f": {headline}" if headline else ""


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
