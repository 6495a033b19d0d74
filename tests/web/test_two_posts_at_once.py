"""The subscriber's page while somebody else changes the same account: each change is of what its person changed, and
nothing that came in between is lost or comes back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from web_site import ACCOUNT, PASSWORD, Site, hidden, open_site

from stasis_callback.store.database.tables import bound_database

HOME, STOLEN, NEW = "447700900451", "447700900452", "447700900453"
WAITING = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path, account_pages=True, account_region="GB") as made:
        made.account()
        made.stores.accounts.change(ACCOUNT, aliases=[HOME, STOLEN], speed_dials={"1": HOME, "2": STOLEN})
        yield made


def send(site: Site, form: str, **fields: str) -> Any:
    return site.http.post(
        f"{site.base}/account/{form}",
        fields,
        headers={"Origin": site.base},
        allow_redirects=False,
        timeout=20,
    )


def is_waited_for(site: Site) -> bool:
    """Whether somebody waits for the end of our transaction."""
    database = site.stores.database
    if database.kind == "sqlite":
        return database._engine._turn.waiting == 1  # type: ignore[attr-defined, no-any-return]
    return bool(bound_database.execute_sql(WAITING).fetchone()[0] == 1)


def meanwhile(site: Site, change: Callable[[], object], form: str, **fields: str) -> None:
    """Send a form, and make a change that is committed when the form has been read and waits for it."""
    assert send(site, "login", account=ACCOUNT, password=PASSWORD).status_code == 303
    token = hidden(site.get("/account").text, "form_token")
    with ThreadPoolExecutor(1) as pool:
        with site.stores.database.transaction():
            site.stores.database.lock("accounts")
            sent = pool.submit(send, site, form, form_token=token, **fields)
            end_s = time.monotonic() + 10
            while not is_waited_for(site):
                assert time.monotonic() < end_s
                time.sleep(0.01)
            change()
        assert sent.result().status_code == 303


def last_noted(site: Site) -> tuple[dict[str, Any], dict[str, Any]]:
    entry = site.stores.trail.newest(noun="account", name=ACCOUNT, operator="subscriber")[0]
    return entry.before, entry.after


def test_a_number_that_another_post_removed_does_not_come_back(site: Site) -> None:
    account = site.stores.accounts.named(ACCOUNT)
    meanwhile(site, lambda: site.stores.accounts.change(ACCOUNT, aliases=[HOME]), "remove-number", alias=HOME)
    assert site.stores.accounts.aliases(account.id) == []
    assert last_noted(site) == ({"aliases": [HOME]}, {"aliases": None})


def test_a_number_that_a_caller_has_registered_meanwhile_stays(site: Site) -> None:
    account = site.stores.accounts.named(ACCOUNT)
    meanwhile(site, lambda: site.stores.accounts.add_alias(account.id, NEW), "remove-number", alias=STOLEN)
    assert site.stores.accounts.aliases(account.id) == [HOME, NEW]


def test_two_keys_that_are_set_at_once_are_both_set(site: Site) -> None:
    account = site.stores.accounts.named(ACCOUNT)
    others = {"2": STOLEN, "3": NEW}  # key 1 is free again, and key 3 new
    meanwhile(
        site, lambda: site.stores.accounts.change(ACCOUNT, speed_dials=others), "speed-dial", key="4",
        number="020 7123 4567",
    )  # fmt: skip
    assert site.stores.accounts.speed_dials(account.id) == {**others, "4": "442071234567"}
    assert last_noted(site)[0] == {"speed_dials": others}


def test_a_key_that_is_freed_leaves_the_others_as_they_are_then(site: Site) -> None:
    account = site.stores.accounts.named(ACCOUNT)
    others = {"1": HOME, "2": NEW}
    meanwhile(
        site,
        lambda: site.stores.accounts.change(ACCOUNT, speed_dials=others),
        "speed-dial",
        key="1",
        number="",
    )
    assert site.stores.accounts.speed_dials(account.id) == {"2": NEW}


def test_of_a_callback_number_it_is_noted_what_it_really_replaced(site: Site) -> None:
    meanwhile(
        site, lambda: site.stores.accounts.change(ACCOUNT, callback_number=HOME), "callback-number",
        callback_number="020 7123 4567",
    )  # fmt: skip
    assert last_noted(site) == ({"callback_number": HOME}, {"callback_number": "442071234567"})
