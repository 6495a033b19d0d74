"""Phone numbers: normalization, translation rules, and the check of what may be dialled.

Only 3 to 15 ASCII digits ever reach a dial string: functions here return such digits, None, or an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stasis_callback.core.errors import InvalidInput

NUMBER_LIMIT = 32
"""Maximum length of a text. E.164 numbers have at most 15 digits; a much longer text is not a number."""

_DIALABLE = re.compile(r"[0-9]{3,15}", re.ASCII)
_SEPARATORS = re.compile(r"[ \-./()]")
_ANI = re.compile(r"\+?[0-9]{1,31}", re.ASCII)
_ACCOUNT_PREFIX = re.compile(r"[A-Za-z]*")


def is_dialable(text: str) -> bool:
    """Whether `text` may be used in a dial string: 3 to 15 ASCII digits."""
    return _DIALABLE.fullmatch(text) is not None


def clean(text: str) -> str | None:
    """Digits with an optional leading `+`, without separators; None if it is not a number.

    `anonymous`, an empty caller id, letters, digits of other scripts and over-long strings give None.
    """
    if len(text) > NUMBER_LIMIT:
        return None
    bare = _SEPARATORS.sub("", text)
    return bare if _ANI.fullmatch(bare) else None


def dialable(text: str) -> str | None:
    """The digits to dial for `+420212345678` or an account id like `ani420212345678`; None if there are none.

    An account id may carry a non-numeric prefix, the number dialled may not (PRODUCT.md).
    """
    digits = _ACCOUNT_PREFIX.sub("", text, count=1).removeprefix("+")
    return digits if is_dialable(digits) else None


_PREFIX = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)


def checked_prefix(text: str) -> str:
    """A prefix of E.164 numbers, which never begin with 0. Raises InvalidInput."""
    if not _PREFIX.fullmatch(text):
        raise InvalidInput(
            f"{text!r} is not a prefix: write 1 to 15 digits, beginning with the country code, without +, 00 or 011"
        )
    return text


COUNTRY_CODE_DIGITS = 3
NATIONAL_DIGITS = 7
"""Minimum length of a national number in digits; fewer equal digits at the end may be a coincidence."""


def may_be_same(own: str, number: str) -> bool:
    """Whether `number` may be our own number `own`, with or without country code or leading zeros.

    Trunks deliver called numbers in national or E.164 form. To prevent calls to ourselves, two numbers are considered
    equal if one may be the other without its country code.
    """
    short, long = sorted((own.lstrip("+0"), number.lstrip("+0")), key=len)
    more = len(long) - len(short)
    return long == short or (
        len(short) >= NATIONAL_DIGITS and more <= COUNTRY_CODE_DIGITS and long.endswith(short)
    )


# --- translation rules ---------------------------------------------------------------------------------------

_RULE = re.compile(r"s/((?:[^/\\]|\\.)+)/((?:[^/\\]|\\.)*)/")
# No two of these alternatives match the same text, so this pattern cannot backtrack catastrophically either: a bare
# + is always a repeat, and a set has no --, which Python reserves.
_ATOM = r"(?:\\[d+*#./]|[0-9A-Za-z#]|\.|\[\^?(?:(?!--)[0-9A-Za-z+#*\-])+\])"
_PATTERN = re.compile(rf"\^?(?:\(?{_ATOM}(?:[?*+]|\{{[0-9]{{1,2}}(?:,[0-9]{{0,2}})?\}})?\)?)+\$?")
_REPLACEMENT = re.compile(r"(?:[0-9A-Za-z+]|\\[1-9]|\$[1-9])*")
_REPEAT = re.compile(r"[?*+]|\{[0-9]+,[0-9]*\}")
_REPEATS_LIMIT = 3
RULES_LIMIT = 50
RULE_LENGTH_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Rule:
    """One substitution, `s/^0/ani44/`. Applied once, at its first match."""

    source: str
    pattern: re.Pattern[str]
    replacement: str

    def apply(self, number: str) -> str:
        """`number` with the first match substituted."""
        return self.pattern.sub(self.replacement, number, count=1)


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Parse rules separated by `;` or line ends. An empty text means no rules.

    Patterns may only contain what numbers need (digits, letters, `\\d`, sets, anchors, `? * + {m,n}` on one
    character, plain groups), so that none backtracks catastrophically. Raises InvalidInput, which names the rule.
    """
    rules = [_parse_rule(part.strip()) for part in re.split(r"[;\n]", text) if part.strip()]
    if len(rules) > RULES_LIMIT:
        raise InvalidInput(f"too many translation rules ({len(rules)}): at most {RULES_LIMIT} are allowed")
    return tuple(rules)


def _parse_rule(text: str) -> Rule:
    match = _RULE.fullmatch(text) if len(text) <= RULE_LENGTH_LIMIT else None
    if not match:
        raise InvalidInput(f"{text!r} is not a translation rule: write, for example, s/^0/44/")
    pattern, replacement = match.groups()
    if not (pattern == "^" or _PATTERN.fullmatch(pattern)) or not _REPLACEMENT.fullmatch(replacement):
        raise InvalidInput(
            f"translation rule {text!r}: only digits, letters, \\d, [..], ^, $, groups and ? * + {{m,n}} after one "
            "character are allowed on the left, digits, letters, + and $1 on the right"
        )
    # Every repeat of variable length multiplies the number of ways to match: a?a?a?... doubles it each time.
    if len(_REPEAT.findall(re.sub(r"\\.|\[[^\]]*\]", "x", pattern))) > _REPEATS_LIMIT:
        raise InvalidInput(f"translation rule {text!r}: at most {_REPEATS_LIMIT} repeats (? * + {{m,n}})")
    try:
        compiled = re.compile(pattern, re.ASCII)
        template = re.sub(r"[\\$]([1-9])", r"\\g<\1>", replacement)
        compiled.sub(template, "0")
    except (re.error, IndexError) as error:
        raise InvalidInput(f"translation rule {text!r}: {error}") from None
    groups_used = [int(n) for n in re.findall(r"[\\$]([1-9])", replacement)]
    if any(n > compiled.groups for n in groups_used):
        raise InvalidInput(f"translation rule {text!r}: it refers to a group that the pattern does not have")
    return Rule(text, compiled, template)


def translate(rules: tuple[Rule, ...], number: str) -> str:
    """Apply all rules in order, each to the result of the previous one. Returns at most 64 characters."""
    for rule in rules:
        number = rule.apply(number)[: 2 * NUMBER_LIMIT]
    return number


def mask(number: str) -> str:
    """A number masked for logs (`42021xxxxx78`): recognisable, but never complete."""
    if len(number) < 9:
        shown = 2 if len(number) > 2 else 0
        return number[:shown] + "x" * (len(number) - shown)
    return number[:5] + "x" * (len(number) - 7) + number[-2:]
