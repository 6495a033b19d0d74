"""Generates the pages of docs/reference, except cli.md, from the code; a test fails if they are out of date.

.venv/bin/python tools/generate_reference.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from stasis_callback.core.email import EmailOptions
from stasis_callback.core.limits import describe_limits
from stasis_callback.core.messages import MessageOptions
from stasis_callback.core.options import describe_options
from stasis_callback.core.web import WebOptions
from stasis_callback.core.words import Dropped, Ending, Refusal, Skipped
from stasis_callback.settings import ENVIRONMENT_PREFIX, Settings

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
MADE_BY = "<!-- Made by `.venv/bin/python tools/generate_reference.py`: do not edit. -->"

SETTINGS_HEAD = f"""\
# Settings of a node

{MADE_BY}

What a node needs to know before it can open its database: a TOML file, overridden by environment variables.
Everything else (accounts, tariffs, access numbers) is in the database and is changed with commands.

The file is the first of: `--config FILE`, `${ENVIRONMENT_PREFIX}CONFIG`, `./stasis-callback.toml`,
`/etc/stasis-callback/stasis-callback.toml`. `stasis-callback init` creates one, `stasis-callback config check`
checks it, `stasis-callback config show` shows the effective settings. A setting in a table, like `url` in `[ari]`,
is listed as `ari.url`. An unknown name is an error.

| Setting | Default | Values | Environment variable | Meaning |
|---|---|---|---|---|
"""

OPTIONS_HEAD = f"""\
# Options of an access number

{MADE_BY}

Set with `stasis-callback access-number set NUMBER --set name=value`; `name=` restores the default. Options whose
names end in `_s` are in seconds. A request keeps the options with which it was accepted, so a change takes effect
from the next call. [The guide](../guides/access-numbers.md) explains the most important ones.

| Option | Default | Values | Meaning |
|---|---|---|---|
"""


WEB_OPTIONS_HEAD = f"""\
# Options of a web instance

{MADE_BY}

Set with `stasis-callback web set NAME --set name=value`; `name=` restores the default. The options of the call
itself ([options.md](options.md)) can also be set here, as on an access number, except those for missed calls and
PIN login. [The guide](../guides/web-callback.md) explains the most important ones.

| Option | Default | Values | Meaning |
|---|---|---|---|
"""


EMAIL_OPTIONS_HEAD = f"""\
# Options of an e-mail instance

{MADE_BY}

Set with `stasis-callback email set ADDRESS --set name=value`; `name=` restores the default. The options of the call
itself ([options.md](options.md)) can also be set here, as on an access number, except those for missed calls and
PIN login. [The guide](../guides/email.md) explains the most important ones.

| Option | Default | Values | Meaning |
|---|---|---|---|
"""


MESSAGE_OPTIONS_HEAD = f"""\
# Options of a message instance

{MADE_BY}

Set with `stasis-callback message set NAME --set name=value`; `name=` restores the default. The options of the call
itself ([options.md](options.md)) can also be set here, as on an access number, except those for missed calls and
PIN login. [The guide](../guides/messages.md) explains the most important ones.

| Option | Default | Values | Meaning |
|---|---|---|---|
"""


WORDS_HEAD = f"""\
# Codes for refusals, endings, dropped mails and messages, and skipped trunks

{MADE_BY}

`stasis-callback request list` shows them as `outcome`, the log and reports as `reason`; the web API returns refusals
as `code`. Codes do not change between releases. For the texts that subscribers see, refer to
[the form and the status page](../guides/web-callback.md), [e-mail](../guides/email.md) and
[messages](../guides/messages.md).

"""
REFUSALS_HEAD = """\
## Refusals

Why a request did not become a callback. Nothing was dialled.

| Refusal | Meaning | At | What to do |
|---|---|---|---|
"""
ENDINGS_HEAD = """
## Endings

How an accepted callback ended; for a queued one, how its last attempt ended.

| Ending | Meaning | At | What to do |
|---|---|---|---|
"""
DROPPED_HEAD = """
## Dropped mails and messages

Why a mail or a message was not passed on as a request: the `reason` of `mail.dropped` and `message.dropped` in the
log. Nothing was dialled.

| Reason | Meaning | About | What to do |
|---|---|---|---|
"""
SKIPPED_HEAD = """
## Skipped trunks

Why a trunk is not tried for a call: `why_not` of `route explain`, and `reasons` of `route.none` in the log.

| Reason | Meaning | About | What to do |
|---|---|---|---|
"""


def pages() -> dict[Path, str]:
    """Every page by its path."""
    return {
        FOLDER / "settings.md": SETTINGS_HEAD + "".join(_setting_rows(Settings, "")),
        FOLDER / "words.md": WORDS_HEAD
        + REFUSALS_HEAD
        + _word_rows(Refusal)
        + ENDINGS_HEAD
        + _word_rows(Ending)
        + DROPPED_HEAD
        + _word_rows(Dropped)
        + SKIPPED_HEAD
        + _word_rows(Skipped),
        FOLDER / "web-options.md": WEB_OPTIONS_HEAD + _instance_rows(WebOptions),
        FOLDER / "email-options.md": EMAIL_OPTIONS_HEAD + _instance_rows(EmailOptions),
        FOLDER / "message-options.md": MESSAGE_OPTIONS_HEAD + _instance_rows(MessageOptions),
        FOLDER / "options.md": OPTIONS_HEAD
        + "".join(_row(f"`{o.name}`", _code(o.default), o.values, o.meaning) for o in describe_options()),
    }


def _word_rows(words: Iterable[Refusal | Ending | Dropped | Skipped]) -> str:
    return "".join(_row(f"`{word}`", word.sentence, word.source, word.remedy) for word in words)


def _instance_rows(settings: type) -> str:
    own = [_row(f"`{o.name}`", _code(o.default), o.values, o.meaning) for o in describe_options(settings)]
    limits = [
        _row(f"`{name}`", _code(default), "times/seconds", meaning)
        for name, default, meaning in describe_limits()
    ]
    return "".join(own + limits)


def _setting_rows(section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _setting_rows(field.annotation, f"{prefix}{name}.")
            continue
        variable = ENVIRONMENT_PREFIX + f"{prefix}{name}".replace(".", "__").upper()
        yield _row(
            f"`{prefix}{name}`", _default(field), _values(field), f"`{variable}`", field.description or ""
        )


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "the machine's name"  # the only one that is not the same everywhere
    default = field.default
    return _code(default.get_secret_value() if isinstance(default, SecretStr) else str(default))


def _values(field: FieldInfo) -> str:
    limits = {
        name: getattr(rule, name)
        for rule in field.metadata
        for name in ("gt", "ge", "le")
        if _has(rule, name)
    }
    if limits:
        least = f"{limits['ge']}" if "ge" in limits else f"more than {limits['gt']}"
        return f"{least} to {limits['le']}"
    if field.annotation is bool:
        return "true, false"
    patterns = [rule.pattern for rule in field.metadata if _has(rule, "pattern")]
    return _code(patterns[0]) if patterns else "text"


def _has(rule: object, name: str) -> bool:
    return getattr(rule, name, None) is not None


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.write_text(text)
        print(f"{path.relative_to(FOLDER.parents[1])} written")


if __name__ == "__main__":
    main()
