"""Limits: as on the web, per sender, account, number and instance; guesses lock out; constant time and words."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from argon2 import Parameters
from mail_site import ADDRESS, MailSite, mail, open_mail_site


def test_guessing_a_password_locks_the_account_id(site: MailSite) -> None:
    site.usual(limit_logins="3/900")
    for guess in range(4):
        site.taken(mail(secret=f"guess{guess}"))
    assert site.refused() == ["wrong_login"] * 3 + ["locked_out"]
    site.taken(mail())
    assert site.callbacks() == [], "the right one is refused too, until the time has passed"
    site.shop.clock.passes(901)
    site.taken(mail())
    assert len(site.callbacks()) == 1


def test_a_lock_out_is_not_kept_as_a_row_for_each_guess(site: MailSite) -> None:
    site.usual(limit_logins="2/900")
    for guess in range(10):
        site.taken(mail(secret=f"guess{guess}"))
    assert len(site.shop.rows()["Request"]) == 2


def test_one_sender_gets_so_many(site: MailSite) -> None:
    site.usual(limit_source="2/3600")
    for _ in range(3):
        site.taken(mail(second="4991234567"))
    assert site.refused()[-1] == "too_many_requests"


def test_one_number_is_rung_so_often_whoever_asks(site: MailSite) -> None:
    site.usual(limit_number="1/3600", dedupe_window_s="0")
    site.account("43", "other")
    site.taken(mail())
    site.taken(mail(account="43", secret="other", second="442079460009"))
    assert site.refused() == ["too_many_requests"]


def test_parallel_guesses_are_no_more_than_the_limit(site: MailSite) -> None:
    site.usual(limit_logins="5/900")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: site.taken(mail(secret=f"guess{n}")), range(16)))
    assert site.refused().count("wrong_login") == 5
    assert site.refused().count("locked_out") == 11


def test_an_unknown_account_takes_as_long_as_a_wrong_password(
    site: MailSite, hashes_compared: list[Parameters]
) -> None:
    site.usual()

    def work(account: str) -> list[Parameters]:
        hashes_compared.clear()
        site.taken(mail(account=account, secret="wrong"))
        return hashes_compared[:]

    assert len(work("6192345679")) == 1
    assert work("6192345679") == work("6192345678")
    assert site.refused() == ["wrong_login"] * 3


def test_more_connections_than_the_limit_are_turned_away(tmp_path: Path) -> None:
    with open_mail_site(tmp_path, connections_limit=2) as site:
        site.usual()
        with site.lmtp(), site.lmtp():
            assert site.raw(b"").startswith(b"421 ")
        site.is_unharmed()


def test_a_client_that_says_nothing_is_disconnected(tmp_path: Path) -> None:
    with open_mail_site(tmp_path, timeout_s=0.3) as site:
        site.usual()
        begun = b"LHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<" + ADDRESS.encode() + b">\r\nDATA\r\nFrom: x"
        began_s = time.monotonic()
        assert site.raw(begun).endswith(b"\r\n354 End data with <CR><LF>.<CR><LF>\r\n")
        assert time.monotonic() - began_s < 5
        assert site.callbacks() == []
