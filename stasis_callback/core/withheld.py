"""Numbers that are not shown: the words that networks put in their place, and the same words keyed on a phone."""

from __future__ import annotations

import re

HIDDEN = frozenset(["anonymous", "restricted", "private", "withheld", "blocked", "hidden"])
"""Of a caller who wants it so (RFC 3323: anonymous)."""
_FILLERS = ("", "number", "numberis", "caller", "callerid", "id", "call", "name", "user")
"""What may stand before or after such a word: `Private number`, `Number withheld`."""
_SAID_HIDDEN = frozenset(f"{a}{word}{b}" for word in HIDDEN for a in _FILLERS for b in _FILLERS)
ABSENT = frozenset(["unavailable", "notavailable", "unknown", "unknownnumber", "nonumber", "outofarea"])
"""Of one whose number the network does not know."""

_KEYS = {
    letter: key
    for key, letters in zip(
        "23456789", ["abc", "def", "ghi", "jkl", "mno", "pqrs", "tuv", "wxyz"], strict=True
    )
    for letter in letters
}
_KEYED_WORDS = ["anonymous", "restricted", "blocked", "unknown", "unavailable", "withheld", "private"]


def keyed(word: str) -> str:
    """The digits of a word on a phone's keys: 266696687 for `anonymous`."""
    return "".join(_KEYS[letter] for letter in word)


KEYED = frozenset(map(keyed, _KEYED_WORDS)) | {"1" + keyed("anonymous")}
_KEYED_HIDDEN = KEYED - {keyed("unknown"), keyed("unavailable")}
"""None of them is a number of any country, so that nobody is refused for a likeness (a test shows it)."""


def withheld(text: str) -> bool:
    """Whether a caller's number is withheld or not known: `""`, `Anonymous `, `+266696687`."""
    return nameless(text) or _bare(text) in KEYED


def nameless(text: str) -> bool:
    """Whether this is a word in place of a number, or nothing at all."""
    word = _bare(text)
    return not word or word in _SAID_HIDDEN or word in ABSENT


def hidden(text: str) -> bool:
    """Whether this says that the caller wants to be private, in words or as they are keyed. `unknown` does not:
    networks say it of missing names.
    """
    word = _bare(text)
    return word in _SAID_HIDDEN or word in _KEYED_HIDDEN


def _bare(text: str) -> str:
    return re.sub(r"[\W_]", "", text).casefold()
