"""What `/readyz` and `/metrics` say about threads, database and disk, and what begins again by itself."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
import requests
from shop import Shop, open_shop
from web_site import open_site

from stasis_callback.clock import Clock, wait_until
from stasis_callback.monitoring import health
from stasis_callback.monitoring.health import Health
from stasis_callback.settings import DatabaseSettings
from stasis_callback.workers import Worker, Workers


def fails(worker: Worker) -> None:
    raise OSError("no room for it")


def figure(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, (name, text)
    return float(found[1])


def test_a_worker_that_fails_makes_the_node_unready_and_is_counted(tmp_path: Path) -> None:
    with open_site(tmp_path) as site:
        assert site.get("/readyz").text == "ready\n"
        errand = Worker("errand", fails, Clock())
        site.workers.add(errand)
        errand.start()
        assert wait_until(lambda: bool(errand.restarts), timeout_s=10)
        ready = site.get("/readyz")
        figures = site.get("/metrics").text
        errand.stop()
        assert site.get("/readyz").status_code == 200
    assert (ready.status_code, ready.text) == (503, "errand failed: no room for it\n")
    assert figure(figures, 'stasis_callback_worker_up{worker="errand"}') == 0
    assert figure(figures, 'stasis_callback_worker_restarts_total{worker="errand"}') >= 1
    assert figure(figures, 'stasis_callback_worker_up{worker="web"}') == 1
    assert figure(figures, "stasis_callback_log_lines_dropped_total") == 0
    assert figure(figures, "stasis_callback_database_up") == 1


def test_a_web_server_that_ends_by_itself_begins_again_on_its_port(tmp_path: Path) -> None:
    with open_site(tmp_path) as site:
        address = site.server.app_address
        assert site.get("/healthz").status_code == 200
        site.server._serving._server.should_exit = True

        def said() -> bool:
            site.http.close()
            return "web failed: the server stopped unexpectedly" in site.get("/readyz").text

        # Who connects meanwhile waits for the next beginning, and is answered.
        assert wait_until(said, timeout_s=20)
        assert site.server.app_address == address


def test_a_database_that_does_not_answer_is_said_without_waiting_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE_S", 1.0)
    with open_site(tmp_path) as site:
        site.shop.sql("ALTER TABLE request RENAME TO elsewhere")
        assert wait_until(lambda: site.get("/readyz").status_code == 503, timeout_s=20)
        assert "the database has not answered for" in site.get("/readyz").text
        figures = site.get("/metrics").text
        assert figure(figures, "stasis_callback_database_up") == 0
        assert figure(figures, 'stasis_callback_worker_up{worker="health"}') == 1
        site.shop.sql("ALTER TABLE elsewhere RENAME TO request")
        assert wait_until(lambda: site.get("/readyz").status_code == 200, timeout_s=20)


@pytest.mark.sqlite
def test_requests_that_wait_for_the_database_do_not_keep_readyz_from_answering(tmp_path: Path) -> None:
    with open_site(tmp_path, threads=1) as site:
        site.usual()
        answers: list[int] = []
        form = threading.Thread(target=lambda: answers.append(site.send().status_code))
        with site.stores.database.transaction():  # the only writer: a form that is sent waits for it
            form.start()
            assert requests.get(f"{site.base}/readyz", timeout=20).status_code == 200
            assert requests.get(f"{site.base}/metrics", timeout=20).status_code == 200
            assert answers == []
        form.join(30)
    assert answers == [303]


@pytest.mark.parametrize(("limit_mb", "trouble"), [(1_000_000, True), (0, False)])
def test_a_disk_that_is_nearly_full_is_said(tmp_path: Path, limit_mb: int, trouble: bool) -> None:
    with open_shop(tmp_path) as shop:
        found = _looked(shop, DatabaseSettings(url=f"sqlite:///{tmp_path}/x.db", free_limit_mb=limit_mb))
    assert bool(found) == trouble
    if trouble:
        assert found[0].startswith(f"the disk of {tmp_path} has ")


def test_a_servers_disk_is_its_own_business(tmp_path: Path) -> None:
    with open_shop(tmp_path) as shop:
        assert _looked(shop, DatabaseSettings(url="postgresql://one@far/away", free_limit_mb=1_000_000)) == []


def _looked(shop: Shop, settings: DatabaseSettings) -> list[str]:
    """Its result after a check."""
    workers = Workers()
    made = Health(settings, shop.stores, Clock(), workers, lambda: "")
    made.worker.start()
    wait_until(lambda: bool(made.troubles()), timeout_s=1.5)
    made.worker.stop()
    return made.troubles()
