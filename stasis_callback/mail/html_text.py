"""The text of an HTML mail that its reader sees, without what is quoted."""

from __future__ import annotations

import re
from html.parser import HTMLParser

HTML_LIMIT = 200_000
"""Longest HTML looked at, in characters: what follows is cut off."""

_BLOCKS = frozenset(
    ["address", "article", "br", "div", "dd", "dl", "dt", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "ol", "p", "pre", "section", "table", "tr", "ul"]
)
_VOID = frozenset(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"])
_UNSEEN = frozenset(["script", "style", "head", "title", "template", "noscript", "blockquote"])
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all", re.IGNORECASE)
_QUOTE = re.compile(
    r"gmail_quote|yahoo_quoted|moz-cite|moz-signature|gmail_signature|protonmail_quote|divRplyFwdMsg", re.I
)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unseen: list[str] = []  # the open elements from the outermost unseen one on

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.pieces.append("\n")
        elif tag in ("td", "th"):
            self.pieces.append(" ")
        if tag in _VOID:
            return
        if self._unseen or tag in _UNSEEN or _is_unseen(dict(attrs)):
            self._unseen.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)  # as browsers do: <div/> opens a div

    def handle_endtag(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.pieces.append("\n")
        if tag in self._unseen[-100:]:
            while self._unseen.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(" ".join(re.split(r"[ \t\r\n]+", data)))


def _is_unseen(attributes: dict[str, str | None]) -> bool:
    names = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
    return bool(
        "hidden" in attributes or _HIDDEN.search(attributes.get("style") or "") or _QUOTE.search(names)
    )


def visible_text(html: str) -> str:
    """What a reader sees of `html`, a line for each block. Quotes and what a style attribute hides are left out."""
    parser = _Text()
    parser.feed(html[:HTML_LIMIT])
    parser.close()
    return "".join(parser.pieces)
