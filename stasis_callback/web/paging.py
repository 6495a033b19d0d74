"""Pages of lists: newest first, each continued after the last one shown, also while new ones come in."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Query
from pydantic import AwareDatetime

from stasis_callback.web.problems import ApiError

LIST_LIMIT = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE = re.compile(r"([0-9]{1,18})(?::([0-9A-Za-z_.@-]{1,64}))?", re.ASCII)

PageLimit = Annotated[int, Query(ge=1, le=LIST_LIMIT, description="Maximum number in a page.")]
After = Annotated[str | None, Query(max_length=128, description="`next` of the previous page.")]
Since = Annotated[AwareDatetime | None, Query(description="Not older than this time (ISO 8601 with zone).")]
Until = Annotated[AwareDatetime | None, Query(description="Older than this time (ISO 8601 with zone).")]


def cursor(at: int, name: str = "") -> str:
    """The place of an item in a list: a number that falls, and a name where several have the same."""
    text = f"{at}:{name}" if name else str(at)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(text: str | None) -> tuple[int, str] | None:
    """The place in a cursor. Raises ApiError."""
    if text is None:
        return None
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        decoded = ""
    match = _PLACE.fullmatch(decoded)
    if match is None:
        raise ApiError(422, "bad_cursor", "`after` is not a valid cursor: use `next` of the previous page.")
    return int(match[1]), match[2] or ""


def micros_of(moment: datetime | None) -> int | None:
    """A time in microseconds since the epoch."""
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)
