"""A low balance by mail: to the registered senders of the account, once, in its language."""

from __future__ import annotations

import email
from email.policy import default

from mail_site import ACCOUNT, ADDRESS, MailSite
from shop import talked

from stasis_callback.clock import wait_until
from stasis_callback.core.fraud import Alarms, Budget, Counter, Measure, OverBudget, Scope, Spent
from stasis_callback.mail.notices import NoticeMails


def low(site: MailSite, leg_id: str = "low-b1") -> None:
    """A call that leaves 8.80 of ten dollars."""
    account = site.stores.accounts.named(ACCOUNT)
    site.stores.accounts.set_low_balance("callback", micros=9_000_000, mail=ADDRESS)
    site.shop.leg(leg_id, account, site.shop.request(account), hold="2.00")
    site.stores.calls.settle(leg_id, talked(120))


def deliveries(site: MailSite) -> list[str]:
    return [row["delivery"] for row in site.shop.rows()["Notice"]]


def test_each_registered_sender_gets_one(site: MailSite) -> None:
    site.usual()
    site.stores.accounts.change(ACCOUNT, language="fr")
    for sender in ("ann@people.example", "bob@people.example"):
        site.stores.email_senders.add(ACCOUNT, sender)
    low(site)
    assert wait_until(lambda: deliveries(site) == ["sent"], timeout_s=20)
    NoticeMails(site.stores, site.shop.clock).write_due()
    mails = [email.message_from_string(row["content"], policy=default) for row in site.replies()]
    assert [mail["To"] for mail in mails] == ["ann@people.example", "bob@people.example"]
    assert {mail["From"] for mail in mails} == {ADDRESS}
    assert {mail["Subject"] for mail in mails} == {"Votre solde est faible"}
    assert {mail["Auto-Submitted"] for mail in mails} == {"auto-generated"}
    assert "8.80 USD" in mails[0].get_content()
    assert ACCOUNT not in mails[0].as_string()


def test_where_nobody_is_registered_nobody_is_written_to(site: MailSite) -> None:
    site.usual()
    low(site)
    assert wait_until(lambda: deliveries(site) == ["unwanted"], timeout_s=20)
    assert site.replies() == []


def test_a_notice_that_cannot_be_written_is_given_up_and_holds_up_no_other(site: MailSite) -> None:
    site.server.replies.stop()
    site.usual()
    site.stores.email_senders.add(ACCOUNT, "ann@people.example")
    fraud = site.stores.fraud
    fraud.alarms = Alarms(mail_from=ADDRESS, mail_to=("ann@[people.example",))
    fraud.note_over(OverBudget(Counter(Scope.SOURCE, "a", Budget(1)), Measure.CALLS, Spent(1, 0, 0)))
    low(site)
    notices = NoticeMails(site.stores, site.shop.clock)
    notices.write_due()
    assert deliveries(site) == ["due", "sent"]
    for _ in range(9):
        site.shop.clock.passes(1800)
        notices.write_due()
    assert deliveries(site) == ["failed", "sent"]
    failed = [line["given_up"] for line in site.log if line["event"] == "mail.notice_not_written"]
    assert failed == [False] * 9 + [True]


def test_the_operator_is_written_to_about_what_is_set_aside(site: MailSite) -> None:
    site.usual(languages="fr")
    fraud = site.stores.fraud
    fraud.alarms = Alarms(mail_from=ADDRESS, mail_to=("noc@calls.example", "ann@calls.example"))
    source = Counter(Scope.SOURCE, "a\nSubject: x", Budget(1))
    fraud.note_over(OverBudget(source, Measure.CALLS, Spent(1, 0, 0)))
    assert wait_until(lambda: deliveries(site) == ["sent"], timeout_s=20)
    NoticeMails(site.stores, site.shop.clock).write_due()
    mails = [email.message_from_string(row["content"], policy=default) for row in site.replies()]
    assert [mail["To"] for mail in mails] == ["noc@calls.example", "ann@calls.example"]
    assert {mail["Subject"] for mail in mails} == {"Mis à l’écart : source:a Subject: x"}
    assert "1 of 1 calls in a day" in " ".join(mails[0].get_content().split())
