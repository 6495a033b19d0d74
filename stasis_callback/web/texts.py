"""The texts of the pages in each language, from the files in `texts/`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "texts"
LANGUAGES = ("en", "es", "fr", "it", "ru")


class Texts:
    """One language's words: `texts["form"]["title"]`."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._sections: dict[str, Any] = tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))

    def __getitem__(self, section: str) -> Any:
        return self._sections[section]

    def problem(self, code: str, *, retry_after_s: int = 0, example: str = "", opens: str = "") -> str:
        """The message about a problem, for the user of the form."""
        problems: dict[str, str] = self._sections["problems"]
        minutes = -(-retry_after_s // 60)
        wait = problems["wait_minutes"].format(minutes=minutes) if minutes > 0 else problems["wait_seconds"]
        words = problems.get(code) or str(self._sections["pages"]["trouble"])
        return words.format(wait=wait, example=example, opens=opens)

    def reason(self, code: str) -> str:
        """Why a callback ended as it did."""
        reasons: dict[str, str] = self._sections["reasons"]
        return reasons.get(code, reasons["not_connected"])


@cache
def texts(language: str) -> Texts:
    """The words of a language; of English when there are none."""
    return Texts(language if language in LANGUAGES else "en")


def chosen_language(offered: Sequence[str], wanted: str, accept_language: str) -> str:
    """One of the languages offered: the one asked for, else the one the browser prefers, else the first."""
    if wanted in offered:
        return wanted
    ranked: list[tuple[float, int, str]] = []
    for part in accept_language[:200].split(","):
        match = re.fullmatch(
            r"\s*([A-Za-z]{2})(?:-[A-Za-z0-9-]+)?\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?))?\s*", part
        )
        if match and match[1].lower() in offered:
            ranked.append((-float(match[2] or 1), len(ranked), match[1].lower()))
    return min(ranked)[2] if ranked else offered[0]
