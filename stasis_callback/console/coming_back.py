"""The page that somebody asked for before they were asked to sign in, and to which they are led back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.requests import Request

SIGN_IN, HOME = "/sign-in", "/"
WANTED = "to"
"""The field of the address of the page to sign in."""
_OWN_PAGE = re.compile(
    r"/(?:find|reports|me|second|(?:do|noun)/[A-Za-z0-9/-]{1,200})?(?:\?[!-\[\]-~]{0,4000})?"
)
"""Pages of the console by what they are, not strange ones by what they are not: ASCII without spaces, control
characters and backslashes, and never two slashes at the beginning, behind which browsers look for another host.
"""


def sign_in_for(request: Request) -> str:
    """Where to sign in before the page that a request is for."""
    path, query = request.url.path, request.url.query
    return _sign_in(f"{path}?{query}" if query else path)


def form_of(query: Sequence[tuple[str, str]]) -> str:
    """Where the form to sign in is sent, of a page with these fields in its address."""
    return _sign_in(dict(query).get(WANTED, HOME))


def wanted_by(request: Request) -> str:
    """The page of this console that whoever signs in is led to."""
    wanted = request.query_params.get(WANTED, "")
    return wanted if is_own_page(wanted) else HOME


def _sign_in(wanted: str) -> str:
    return f"{SIGN_IN}?{urlencode({WANTED: wanted})}" if is_own_page(wanted) and wanted != HOME else SIGN_IN


def is_own_page(address: str) -> bool:
    """Whether an address is one of a page of this console."""
    return _OWN_PAGE.fullmatch(address) is not None
