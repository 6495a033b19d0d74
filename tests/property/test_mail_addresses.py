"""Who may be registered can be written to: no such address breaks the writing or the sending of a mail."""

from __future__ import annotations

import email
from email.policy import default

from hypothesis import example, given
from hypothesis import strategies as st
from shop import NOON_US

from stasis_callback.core.mail_addresses import ADDRESS, LENGTH_LIMIT, parse_address
from stasis_callback.mail.words import notice_mail


@given(st.from_regex(ADDRESS, fullmatch=True).filter(lambda text: len(text) <= LENGTH_LIMIT))
@example("..ann..@x")
@example("=?@x-.example")
def test_whoever_can_be_named_can_be_written_to(text: str) -> None:
    address = parse_address(text)
    mail = notice_mail(
        address="callback@calls.example", recipient=address, language="ru", balance="1.00 USD", own_id="1",
        now_us=NOON_US,
    )  # fmt: skip
    assert mail.isascii()
    assert email.message_from_string(mail, policy=default)["To"].addresses
