"""The operator's own look: style sheets and logos from a folder, which pages do without where they cannot be had."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from starlette.staticfiles import StaticFiles

from stasis_callback.disk import folder_trouble
from stasis_callback.settings import WebSettings

log = structlog.get_logger()


def brand(settings: WebSettings, instance: str, language: str) -> dict[str, Any]:
    """What makes a page an operator's own: style sheet and logo of the instance, or the default ones."""
    folder = settings.brand_dir
    if folder:
        look_at(folder)

    def first(*names: str) -> str:
        there = (
            name for name in names if folder and not name.startswith(".") and _is_readable(Path(folder, name))
        )
        return next(there, "")

    names = [name for name in (instance, "default") if name]
    return {
        "lang": language,
        "stylesheet": first(*(f"{name}.css" for name in names)),
        "logo": first(*(f"{name}.{suffix}" for name in names for suffix in ("svg", "png"))),
    }


def look_at(folder: str) -> None:
    """Say in the log, once, what is wrong with the folder."""
    if trouble := folder_trouble(folder):
        _say(folder, trouble)


@cache
def _say(folder: str, trouble: str) -> None:
    log.warning("web.brand_not_read", folder=folder, error=trouble)


def _is_readable(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK, effective_ids=True)
    except OSError:
        return False


class BrandFiles(StaticFiles):
    """The files of the folder. What cannot be read is not found, and the folder may come later than the service."""

    def __init__(self, folder: str) -> None:
        super().__init__(directory=folder, check_dir=False)
        look_at(folder)

    async def check_config(self) -> None:
        """Nothing: where there is no folder there are no files."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Where a file is, and what it is; None where it is not."""
        try:
            found, kind = super().lookup_path(path)
        except OSError:
            return "", None
        return (found, kind) if _is_readable(Path(found)) else ("", None)
