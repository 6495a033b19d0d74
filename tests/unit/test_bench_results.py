"""What `make bench` writes: the figures of several benches in one document and on one page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

from bench.results import Figure, read, table, write

LEVEL = {
    "rss_mib": 80.0,
    "per_live_kib": 0.0,
    "at_rest_ms_per_s": 4.0,
    "per_callback_ms": 40.0,
    "event_to_command_ms": 2.0,
    "event_to_command_p99_ms": 9.0,
}


def test_a_document_and_a_page_have_every_figure(tmp_path: Path) -> None:
    figures = [
        Figure("money", "a leg <SQLite>", "legs/s", 30, 100, 0.3, [0.25, 0.35]),
        Figure("counts", "ani, commits", "", 6),
    ]
    write(tmp_path, {"cores": 2}, figures)
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["machine"] == {"cores": 2}
    assert [one["name"] for one in document["figures"]] == ["a leg <SQLite>", "ani, commits"]
    page = (tmp_path / "results.html").read_text()
    (plot,) = re.findall("<svg.*?</svg>", page, re.DOTALL)
    bars = [part for part in ElementTree.fromstring(plot) if part.tag.endswith("rect")]  # noqa: S314 - ours
    assert len(bars) == 1
    assert "ani, commits" in page
    assert "0.25 to 0.35" in table(figures)


def test_the_fewest_live_conversations_are_the_floor_of_the_others(tmp_path: Path) -> None:
    levels = [{"live": 10, **LEVEL}, {"live": 400, **LEVEL, "per_callback_ms": 50.0}]
    path = tmp_path / "levels.json"
    path.write_text(json.dumps({"machine": {}, "levels": levels}))
    figures = {one.name: one for one in read("conversations", path)[1]}
    assert figures["processor per callback, 400 live"].ratio == 1.25
    assert figures["memory per live call, 400 live"].ratio is None


def test_a_figure_below_nothing_has_no_ratio_and_no_bar(tmp_path: Path) -> None:
    levels = [{"live": 10, **LEVEL}, {"live": 2000, **LEVEL, "per_callback_ms": -4.16}]
    path = tmp_path / "levels.json"
    path.write_text(json.dumps({"machine": {}, "levels": levels}))
    figures = read("conversations", path)[1]
    assert [one.ratio for one in figures if one.value < 0] == [None]
    write(tmp_path, {}, [*figures, Figure("money", "torn", "", 1, 1, 0.5, [0.5, -0.1])])
    assert "-4.16" in (tmp_path / "results.html").read_text()
