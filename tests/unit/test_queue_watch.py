"""A callback that another process accepts is seen at once."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from databases import Databases, server
from shop import Shop

from stasis_callback.clock import Clock, wait_until
from stasis_callback.engine.queue_watch import QueueWatch

ANOTHER_PROCESS = """
import sys
from stasis_callback.clock import Clock
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.store.stores import open_stores
stores = open_stores(sys.argv[1], "node2", Clock())
account = int(sys.argv[2])
reason = stores.requests.accept(
    CallbackRequest("key", "ani", "100", "800"),
    account_id=account, subscriber_id=account, leg_a_number="100", stored_options={}, queue_limit=10,
)
assert reason == "", reason
"""


def accepted_elsewhere(shop: Shop, account_id: int) -> None:
    subprocess.run([sys.executable, "-c", ANOTHER_PROCESS, shop.url, str(account_id)], check=True)


@pytest.fixture
def woken(shop: Shop) -> threading.Semaphore:
    return threading.Semaphore(0)


def test_a_callback_accepted_by_another_process_wakes_the_dialler(
    shop: Shop, woken: threading.Semaphore
) -> None:
    watch = QueueWatch(shop.stores, Clock(), woken.release)
    account = shop.account()
    watch.start()
    try:
        assert woken.acquire(timeout=5)  # it looks once when it begins to listen
        accepted_elsewhere(shop, account.id)
        assert woken.acquire(timeout=1.0)
    finally:
        watch.stop()


@pytest.mark.postgres
def test_after_a_restart_of_the_server_it_listens_again(shop: Shop, woken: threading.Semaphore) -> None:
    watch = QueueWatch(shop.stores, Clock(), woken.release)
    account = shop.account()
    watch.start()
    try:
        assert woken.acquire(timeout=5)
        server().kill()
        server().start()
        assert woken.acquire(timeout=10)  # what came while nobody listened
        accepted_elsewhere(shop, account.id)
        assert woken.acquire(timeout=1.0)
    finally:
        watch.stop()


def test_it_stops_at_once(shop: Shop) -> None:
    before = threading.active_count()
    watch = QueueWatch(shop.stores, Clock(), lambda: None)
    watch.start()
    watch.stop()
    assert wait_until(lambda: threading.active_count() == before, timeout_s=2)
    assert Databases.kind in shop.url.replace("postgresql", "postgres")
