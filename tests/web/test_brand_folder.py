"""The folder of the operator's own look is gone or closed: pages, and the service, do without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from disks import bound_by_modes
from structlog.testing import capture_logs
from web_site import open_site

PAGES = {
    "/web/calls": 200,
    "/nothing": 404,
    "/account": 200,
    "/brand/default.css": 404,
    "/brand/x/y.svg": 404,
}


def told(log: Sequence[Mapping[str, object]]) -> list[tuple[object, object]]:
    return [
        (line["event"], line["folder"]) for line in log if "folder" in line or line["event"] == "web.fault"
    ]


def test_pages_do_without_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "brand"
    folder.mkdir()
    (folder / "default.css").write_text("body { color: #123456 }")
    with (
        bound_by_modes(),
        capture_logs() as log,
        open_site(tmp_path, brand_dir=str(folder), account_pages=True) as site,
    ):
        site.usual()
        assert "/brand/default.css" in site.get("/web/calls").text
        assert site.get("/brand/default.css").status_code == 200
        folder.chmod(0)
        try:
            for _ in range(2):
                assert {path: site.get(path).status_code for path in PAGES} == PAGES
            assert "/brand/" not in site.get("/web/calls").text
        finally:
            folder.chmod(0o755)
        assert "/brand/default.css" in site.get("/web/calls").text  # at once, when it may be read again
    assert told(log) == [("web.brand_not_read", str(folder))]


def test_a_file_that_may_not_be_read_is_not_named_on_pages(tmp_path: Path) -> None:
    folder = tmp_path / "brand"
    folder.mkdir()
    for name in ("calls.css", "default.css"):
        (folder / name).write_text("body { color: #123456 }")
    (folder / "calls.css").chmod(0)
    with bound_by_modes(), open_site(tmp_path, brand_dir=str(folder)) as site:
        site.usual()
        assert "/brand/default.css" in site.get("/web/calls").text
        assert site.get("/brand/calls.css").status_code == 404


def test_a_folder_that_is_gone_keeps_nothing_from_starting(tmp_path: Path) -> None:
    folder = tmp_path / "brand"
    with capture_logs() as log, open_site(tmp_path, brand_dir=str(folder), account_pages=True) as site:
        site.usual()
        assert {path: site.get(path).status_code for path in PAGES} == PAGES
        folder.mkdir()
        (folder / "default.css").write_text("body { color: #123456 }")
        assert "/brand/default.css" in site.get("/web/calls").text
        assert site.get("/brand/default.css").status_code == 200
    assert told(log) == [("web.brand_not_read", str(folder))]
