"""A hook of mkdocs (`make docs`): the pages of the repository, as they are, become a site.

Pages at the root of the repository are pages of the site too. A link to a file that is not a page names its path
instead: the repository has no address of its own. Headings get the anchors, and lists the forms, of code hosts.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FRONT = {
    "README.md": "index.md",
    **{f"{name}.md": f"{name}.md" for name in ("ARCHITECTURE", "CHANGELOG", "CONTRIBUTING", "SECURITY")},
    "sounds/README.md": "sounds.md",
}
"""Pages outside docs/, by their path in the repository, and where they stand in the site."""

FENCE = re.compile(r" *```")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
ITEM = re.compile(r" *(- |\d+\. )")


def on_config(config: Any) -> Any:
    """Anchors as on the repository's pages."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = anchor
    return config


def anchor(title: str, separator: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", separator)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages outside docs/."""
    from mkdocs.structure.files import File

    for page, place in FRONT.items():
        files.append(File.generated(config, place, content=(ROOT / page).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """The text of a page, with links as the site has them."""
    place = page.file.src_uri
    source = next((path for path, at in FRONT.items() if at == place), f"docs/{place}")
    return as_in_site(markdown, source, place)


def as_in_site(markdown: str, source: str, place: str) -> str:
    """The text of the page `source` of the repository as it stands at `place` in the site."""
    lines: list[str] = []
    fenced, shift, before = False, 0, ""
    for line in markdown.split("\n"):
        indent = len(line) - len(line.lstrip(" "))
        if not fenced:
            shift = (
                -indent % 4 if line.strip() else shift
            )  # within an item: four, where two or three are enough
        if FENCE.match(line):
            fenced = not fenced
            line = re.sub(r"(```\w*) .*", r"\1", line)  # a file's name behind the language
        elif not fenced:
            if (
                re.match(r"(- |1\. )", line)
                and before.strip()
                and not (ITEM.match(before) or before[0] == " ")
            ):
                lines.append("")
            line = LINK.sub(lambda link: _link(link, source, place), line)
        lines.append(" " * shift + line if line.strip() else line)
        before = line
    return "\n".join(lines)


def _link(link: re.Match[str], source: str, place: str) -> str:
    mark, text, target = link.groups()
    path, hash_, heading = target.partition("#")
    if "://" in target or not path:
        return link[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    at = FRONT.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else "")
    if at and (ROOT / path).is_file():
        return f"{mark}[{text}]({os.path.relpath(at, posixpath.dirname(place) or '.')}{hash_}{heading})"
    return f"`{path}`" if path.rstrip("/").endswith(text.strip("`/")) else f"{text} (`{path}`)"
