"""The text of an HTML mail that its reader sees, without what is quoted."""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from stasis_callback.core.mail_command import Unreadable
from stasis_callback.core.words import Dropped

HTML_LIMIT = 200_000
"""Longest HTML looked at, in characters. Bounds the time that deep nesting costs."""

_BLOCKS = frozenset(
    "address article div dd dl dt footer form h1 h2 h3 h4 h5 h6 header hr li ol p pre section table tr ul".split()  # noqa: SIM905
)
_UNSEEN = frozenset("script style head title template noscript blockquote".split())  # noqa: SIM905
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all", re.IGNORECASE)
_QUOTE = re.compile(
    r"gmail_quote|yahoo_quoted|moz-cite|moz-signature|gmail_signature|protonmail_quote",
    re.IGNORECASE,
)
_REST = ("divRplyFwdMsg", "appendonsend")
"""Ids with which Outlook marks where the mail that is answered begins: it stands beside them, not in them."""
_SPACES = re.compile(r"[ \t\r\n\f]+")


def visible_text(html: str) -> str:
    """What a reader sees of `html`, a line for each block, without quotes and what a style attribute hides.

    Raises Unreadable (`too_long`).
    """
    if len(html) > HTML_LIMIT:
        raise Unreadable(Dropped.TOO_LONG)
    pieces: list[str] = []
    waiting: list[LexborNode | str] = []
    body = LexborHTMLParser(html).body
    if body is not None:
        waiting.append(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            _add_edge(pieces, node)
            continue
        if node.next is not None and node.tag != "body":
            waiting.append(node.next)
        if node.attributes.get("id") in _REST:
            break
        _collect(node, pieces, waiting)
    return "".join(pieces)


def _collect(node: LexborNode, pieces: list[str], waiting: list[LexborNode | str]) -> None:
    """What a node says itself; what is in it waits."""
    if node.tag == "-text":
        pieces.append(_SPACES.sub(" ", node.text_content or ""))
    elif node.tag == "br":
        pieces.append("\n")
    elif not _is_unseen(node):
        edge = _edge(node.tag)
        waiting.append(edge)
        if node.child is not None:
            waiting.append(node.child)
        waiting.append(edge)


def _edge(tag: str | None) -> str:
    return "\n" if tag in _BLOCKS else " " if tag in ("td", "th") else ""


def _add_edge(pieces: list[str], edge: str) -> None:
    """Blocks that follow each other have no empty line between: one would hide that a number goes on."""
    if edge != "\n":
        pieces.append(edge)
        return
    while pieces and pieces[-1] in ("", " "):
        pieces.pop()
    if pieces and pieces[-1] != "\n":
        pieces.append("\n")


def _is_unseen(node: LexborNode) -> bool:
    if node.tag in _UNSEEN:
        return True
    attributes = node.attributes
    names = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
    style = attributes.get("style") or ""
    return bool("hidden" in attributes or _HIDDEN.search(style) or _QUOTE.search(names))
