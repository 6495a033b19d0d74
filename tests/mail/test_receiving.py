"""A mail over a real socket becomes one callback, with the checks of a web callback."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from mail_site import ACCOUNT, ADDRESS, FIRST, PASSWORD, SECOND, MailSite, mail, open_mail_site

from stasis_callback.clock import US_PER_S, wait_until
from stasis_callback.core.errors import CallbackError
from stasis_callback.mail.listener import Listener
from stasis_callback.store.database.database import Database


def test_a_mail_becomes_a_callback_between_its_two_numbers(site: MailSite) -> None:
    site.usual()
    site.taken(mail())
    (callback,) = site.callbacks()
    assert (callback["triggered_by"], callback["instance"], callback["state"]) == ("email", ADDRESS, "queued")
    assert (callback["leg_a_number"], callback["destination"]) == (FIRST, SECOND)
    assert '"access_code": "EMAILCALLBACK"' in callback["options"]
    assert site.woken == 1


def test_its_steps_are_told_by_the_web_instance_that_is_named(site: MailSite) -> None:
    site.stores.web_instances.add(
        "calls", {"type": "extended", "webhook_url": "https://crm.example.com/hook"}
    )
    site.usual(webhooks="calls")
    site.taken(mail())
    assert site.stores.events.waiting() == ["calls"]


FRIDAY_NOON_US = int(datetime(2027, 1, 29, 12, tzinfo=UTC).timestamp()) * US_PER_S
COMMAND = f"P {ACCOUNT} {PASSWORD} SN {FIRST} DN {SECOND}"


def test_an_instance_has_opening_hours(site: MailSite) -> None:
    site.shop.clock.at_us = FRIDAY_NOON_US
    site.usual(opening_hours="mon-fri 09:00-17:00", time_zone="Asia/Tokyo")
    raw = mail()
    site.taken(raw)
    site.taken(raw)
    assert site.callbacks() == []
    (reply,) = site.replies()
    assert "again from 2027-02-01 09:00 (Asia/Tok" in reply["content"]
    assert [line["reason"] for line in site.log if line["event"] == "mail.dropped"] == ["closed"] * 2


def test_a_callback_is_made_at_the_time_in_the_mail(site: MailSite) -> None:
    site.shop.clock.at_us = FRIDAY_NOON_US
    site.usual(call_me_at="on", time_zone="Europe/Prague")
    raw = mail(body=COMMAND + " AT 16:30")
    site.taken(raw)
    site.taken(raw)
    assert [callback["due_at_us"] for callback in site.callbacks()] == [
        FRIDAY_NOON_US + int(3.5 * 3600) * US_PER_S
    ]
    assert "2027-01-29 16:30 (Euro" in site.replies()[0]["content"]


def test_smtp_instead_of_lmtp(tmp_path: Path) -> None:
    with open_mail_site(tmp_path, listener="smtp") as site:
        site.usual()
        site.taken(mail())
        assert len(site.callbacks()) == 1
        assert site.raw(b"LHLO x\r\nQUIT\r\n").count(b"\r\n500 ") == 1


def test_the_same_mail_twice_is_one_callback(site: MailSite) -> None:
    site.usual()
    raw = mail()
    site.taken(raw)
    site.taken(raw)
    site.taken(b"Received: by another.example\r\n" + raw)
    assert len(site.callbacks()) == 1
    assert site.woken == 1


def test_a_mail_without_a_message_id_is_known_by_all_of_it(site: MailSite) -> None:
    site.usual()
    raw = mail(Message_ID=None)
    site.taken(raw)
    site.taken(raw)
    assert len(site.callbacks()) == 1


def test_the_same_message_id_of_somebody_else_stops_nobody(site: MailSite) -> None:
    site.usual()
    results = "mx.calls.example; dmarc=pass header.from=evil.example"
    site.taken(
        mail(
            secret="guess",
            Message_ID="<1@people.example>",
            From="e@evil.example",
            Authentication_Results=results,
        )
    )
    site.taken(mail(Message_ID="<1@people.example>"))
    assert len(site.callbacks()) == 1


def test_the_same_command_in_another_mail_is_one_callback_within_the_window(site: MailSite) -> None:
    site.usual()
    site.taken(mail())
    site.taken(mail())
    assert len(site.callbacks()) == 1
    assert site.refused() == ["in_progress"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"secret": "wrong"}, "wrong_login"),
        ({"account": "999"}, "wrong_login"),
        ({"first": "4991234567"}, "destination_not_in_tariff"),
        ({"second": "4991234567"}, "destination_not_allowed"),
        ({"second": FIRST}, "same_number"),
    ],
)
def test_a_command_that_is_refused_is_taken_all_the_same(
    site: MailSite, changed: dict[str, str], reason: str
) -> None:
    site.usual()
    site.taken(mail(**changed))
    assert site.callbacks() == []
    assert site.refused() == [reason]


def test_an_alias_is_no_account(site: MailSite) -> None:
    site.usual()
    account = site.stores.accounts.find(ACCOUNT)
    assert account
    site.stores.accounts.add_alias(account.id, "442079460000")
    site.taken(mail(account="442079460000"))
    assert site.refused() == ["wrong_login"]


def test_only_addresses_that_are_switched_on_are_there(site: MailSite) -> None:
    site.usual()
    assert site.send(mail(), to="other@calls.example")[0] == 550
    assert site.send(mail(), to=ADDRESS.upper())[0] == 250
    site.stores.email_instances.change(ADDRESS, {}, enabled=False)
    assert site.send(mail())[0] == 550


def test_a_mail_has_one_recipient(site: MailSite) -> None:
    site.usual()
    with site.lmtp() as client:
        assert client.mail("a@b.example")[0] == 250
        assert client.rcpt(ADDRESS)[0] == 250
        assert client.rcpt(ADDRESS)[0] == 452
        assert client.data(mail())[0] == 250
    assert len(site.callbacks()) == 1


def test_the_password_is_nowhere(site: MailSite) -> None:
    site.usual(reply="on")
    site.taken(mail())
    site.taken(mail(secret="AnotherSecret"))
    site.taken(mail(body="P x HalfASecret SN 12"))
    kept = repr(site.shop.rows()) + repr(site.log)
    assert not [secret for secret in (PASSWORD, "AnotherSecret", "HalfASecret") if secret in kept]
    assert FIRST not in repr(site.log)


def test_a_port_that_is_taken_is_said_at_the_start(site: MailSite) -> None:
    second = Listener(
        site.settings.email.model_copy(update={"port": site.address[1]}), site.desk, site.shop.clock
    )
    with pytest.raises(CallbackError, match=r"email\.host and email\.port"):
        second.start()


def test_a_listener_that_ends_by_itself_begins_again_on_its_port(site: MailSite) -> None:
    site.usual()
    site.taken(mail())
    before = site.address
    assert site.server.listener is not None
    site.server.listener._end()
    # Who connects meanwhile waits for the next beginning, and is answered.
    assert wait_until(lambda: site.raw(b"QUIT\r\n").startswith(b"220 "), timeout_s=20)
    site.taken(mail())
    assert site.address == before
    assert [worker.trouble() for worker in site.server.workers] == [""] * len(site.server.workers)


def test_while_the_database_is_away_the_mail_server_keeps_the_mail(
    site: MailSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.usual()
    raw = mail()
    with site.lmtp() as client:
        client.mail("a@b.example")
        client.rcpt(ADDRESS)
        with monkeypatch.context() as broken:
            broken.setattr(Database, "transaction", property(lambda _: 1 / 0))
            assert client.data(raw)[0] == 451
    assert site.callbacks() == []
    site.taken(raw)
    assert len(site.callbacks()) == 1


# --- tokens ------------------------------------------------------------------------------------------------------


def test_a_token_is_good_for_one_callback(site: MailSite) -> None:
    site.usual()
    (token,) = site.stores.email_senders.give_out(ACCOUNT, 1, 30)
    site.taken(mail(secret=token.lower()))
    site.taken(mail(secret=token, first="442079460003"))
    assert len(site.callbacks()) == 1
    assert site.refused() == ["wrong_login"]


def test_a_token_is_not_used_up_by_a_callback_that_is_refused(site: MailSite) -> None:
    site.usual()
    (token,) = site.stores.email_senders.give_out(ACCOUNT, 1, 30)
    site.taken(mail(secret=token, second="4991234567"))
    assert site.refused() == ["destination_not_allowed"]
    site.taken(mail(secret=token))
    assert len(site.callbacks()) == 1


def test_the_same_mail_with_a_token_again_is_the_same_callback(site: MailSite) -> None:
    site.usual()
    (token,) = site.stores.email_senders.give_out(ACCOUNT, 1, 30)
    raw = mail(secret=token)
    site.taken(raw)
    site.taken(raw)
    assert len(site.callbacks()) == 1
    assert site.refused() == []


def test_tokens_expire_are_withdrawn_and_belong_to_one_account(site: MailSite) -> None:
    site.usual()
    site.account("43", "other")
    (old,) = site.stores.email_senders.give_out(ACCOUNT, 1, 1)
    (others,) = site.stores.email_senders.give_out("43", 1, 30)
    site.shop.clock.passes(86_401)
    (withdrawn,) = site.stores.email_senders.give_out(ACCOUNT, 1, 30)
    assert site.stores.email_senders.withdraw(ACCOUNT) == 2
    for token in (old, others, withdrawn):
        site.taken(mail(secret=token))
    assert site.callbacks() == []
    assert set(site.refused()) == {"wrong_login"}


def test_an_instance_can_take_tokens_only_or_passwords_only(site: MailSite) -> None:
    site.usual(credential="token")
    site.taken(mail())
    assert site.refused() == ["wrong_login"]
    site.stores.email_instances.change(ADDRESS, {"credential": "password"})
    (token,) = site.stores.email_senders.give_out(ACCOUNT, 1, 30)
    site.taken(mail(secret=token))
    assert site.refused() == ["wrong_login"] * 2
    site.taken(mail())
    assert len(site.callbacks()) == 1


def test_an_address_beyond_ascii_is_taken_and_dropped_not_bounced(site: MailSite) -> None:
    site.usual()
    with site.lmtp() as client:
        client.mail("a@b.example", ["SMTPUTF8"])
        client.rcpt(ADDRESS)
        assert client.data(mail(From="änn@people.example"))[0] == 250
    assert site.reasons() == ["bad_sender"]
