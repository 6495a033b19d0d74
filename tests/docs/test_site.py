"""`make docs`: every page is in the site, no link is lost, and its pages load nothing from elsewhere."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HOOK = runpy.run_path(str(ROOT / "tools" / "site_pages.py"))


@pytest.mark.parametrize(
    ("text", "source", "place", "there"),
    [
        ("[q](docs/quickstart.md#a)", "README.md", "index.md", "[q](quickstart.md#a)"),
        ("![p](docs/images/way-of-a-call.svg)", "README.md", "index.md", "![p](images/way-of-a-call.svg)"),
        ("[c](../CHANGELOG.md)", "docs/operations.md", "operations.md", "[c](CHANGELOG.md)"),
        ("[o](../operations.md#x)", "docs/guides/email.md", "guides/email.md", "[o](../operations.md#x)"),
        ("[r](../../README.md)", "docs/guides/email.md", "guides/email.md", "[r](../index.md)"),
        ("see [LICENSE](LICENSE)", "README.md", "index.md", "see `LICENSE`"),
        ("[rig](../bench/rig.py)", "docs/bench.md", "bench.md", "rig (`bench/rig.py`)"),
        ("[a](https://a.example/b)", "README.md", "index.md", "[a](https://a.example/b)"),
        ("```\n[trunk](carrier)\n```", "README.md", "index.md", "```\n[trunk](carrier)\n```"),
        ("```csv a.csv\nb\n```", "README.md", "index.md", "```csv\nb\n```"),
        ("so:\n- a\n  b\n- c", "README.md", "index.md", "so:\n\n- a\n    b\n- c"),
        ("1. a:\n\n   ```\n   x\n   ```", "README.md", "index.md", "1. a:\n\n    ```\n    x\n    ```"),
    ],
)
def test_a_page_is_put_into_the_form_of_the_site(text: str, source: str, place: str, there: str) -> None:
    assert HOOK["as_in_site"](text, source, place) == there


@pytest.fixture(scope="module")
def site(tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_in_the_site_and_loads_nothing_from_elsewhere(site: Path) -> None:
    places = [str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")]
    for place in [*places, *HOOK["FRONT"].values()]:
        html = (site / place).with_suffix(".html").read_text()
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"?([^\s\">]+)", html)
        assert loaded
        assert [address for address in loaded if re.match(r"(https?:)?//", address)] == [], place
        assert "```" not in html, place
