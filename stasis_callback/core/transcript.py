"""What was said to somebody in a callback and which keys they pressed, for `why`; never a PIN or password."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

LINES_LIMIT = 40
TEXT_LIMIT = 160
"""Of a line, in characters. A transcript has seven kilobytes at most, and most have less than one."""

Kind = Literal["said", "keyed", "hidden", "more"]


@dataclass(frozen=True, slots=True)
class TranscriptLine:
    """One prompt, or the keys in answer to one; `hidden`: how many, `more`: what came after is not kept."""

    at_us: int
    side: str
    kind: Kind
    text: str

    @property
    def words(self) -> str:
        """It in a sentence."""
        match self.kind:
            case "said":
                return f"said to leg {self.side.upper()}: {self.text}"
            case "keyed":
                return f"leg {self.side.upper()} keyed {self.text or 'nothing'}"
            case "hidden":
                return f"leg {self.side.upper()} keyed {self.text} keys that are not shown: a PIN, password or code"
        return "what was said and keyed after this is not kept"


@dataclass
class Transcript:
    """The lines of one call, in order."""

    _lines: list[tuple[int, str, Kind, str]] = field(default_factory=list)

    def said(self, at_us: int, leg_id: str, words: str) -> None:
        """A prompt was begun; one without words is silence."""
        if words:
            self._add(at_us, leg_id, "said", words)

    def keyed(self, at_us: int, leg_id: str, keys: str, *, secret: bool) -> None:
        """Keys were pressed when they were asked for; of a secret only how many."""
        hidden = secret and bool(keys)
        self._add(at_us, leg_id, "hidden" if hidden else "keyed", str(len(keys)) if hidden else keys)

    @property
    def stored(self) -> str:
        """As it is stored; "" when nothing was said."""
        return json.dumps(self._lines, ensure_ascii=False, separators=(",", ":")) if self._lines else ""

    def _add(self, at_us: int, leg_id: str, kind: Kind, text: str) -> None:
        if len(self._lines) < LINES_LIMIT:
            side = leg_id.rpartition("-")[2][:1]
            self._lines.append((at_us, side, kind, text[:TEXT_LIMIT]))
        elif self._lines[-1][2] != "more":
            self._lines.append((at_us, "", "more", ""))


def lines_of(stored: str) -> list[TranscriptLine]:
    """The lines of a stored transcript."""
    return [TranscriptLine(*line) for line in json.loads(stored)] if stored else []
