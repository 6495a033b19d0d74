"""What is kept of a conversation: bounded, and without secrets."""

from __future__ import annotations

from pathlib import Path

from shop import open_shop
from test_books_migration import move, old_database, opened

from stasis_callback.core.transcript import LINES_LIMIT, TEXT_LIMIT, Transcript, lines_of


def test_what_was_said_and_keyed_is_told_in_order_and_secrets_are_counted() -> None:
    kept = Transcript()
    assert kept.stored == ""
    kept.said(1, "0a1b-a1", "Please enter your PIN")
    kept.keyed(2, "0a1b-a1", "6192345678#", secret=True)
    kept.keyed(3, "0a1b-a1", "", secret=True)
    kept.keyed(4, "0a1b-a1.2", "442071234567#", secret=False)
    assert "6192345678" not in kept.stored
    assert [(line.at_us, line.words) for line in lines_of(kept.stored)] == [
        (1, "said to leg A: Please enter your PIN"),
        (2, "leg A keyed 11 keys that are not shown: a PIN, password or code"),
        (3, "leg A keyed nothing"),
        (4, "leg A keyed 442071234567#"),
    ]
    assert lines_of("") == []


def test_a_long_conversation_is_cut_off_and_says_so() -> None:
    kept = Transcript()
    for n in range(1000):
        kept.said(n, "x-a1", "word " * 1000)
    assert len(kept.stored) < 50 + LINES_LIMIT * (TEXT_LIMIT + 40)
    assert len(lines_of(kept.stored)) == LINES_LIMIT + 1
    assert lines_of(kept.stored)[-1].words == "what was said and keyed after this is not kept"


def test_callbacks_of_before_the_migration_go_on_and_have_no_transcript(tmp_path: Path) -> None:
    with old_database(tmp_path, "old", "0030_~") as url:
        with open_shop(tmp_path) as shop:
            request = shop.request(shop.account())
            before = [row | {"alive_mark": ""} for row in shop.rows()["Request"]]  # of a later version
            move(shop, url)
        with opened(url, tmp_path) as shop:
            assert "0031_messages" in shop.stores.database.migrate()
            assert shop.rows()["Request"] == before
            assert shop.stores.finding.transcript(request.id) == []
            shop.stores.message_instances.add("sms", {})
            assert shop.stores.message_instances.named("sms").enabled
