"""Answers: to a proven sender only, once, in constant words, through a real SMTP server."""

from __future__ import annotations

import email
import re
import threading
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from mail_site import ACCOUNT, ADDRESS, PASSWORD, SENDER, MailSite, mail, open_mail_site
from prometheus_client import CollectorRegistry

from stasis_callback.clock import wait_until
from stasis_callback.core.words import Ending
from stasis_callback.monitoring.counted import Counted
from stasis_callback.written.words import FOLDER, LANGUAGES, TEXT_OF, answer_text


class Post:
    """The operator's mail server, for answers. `code` is what it says to each."""

    def __init__(self) -> None:
        self.code = "250 OK"
        self.taken: list[tuple[str, list[str], Message]] = []
        self.tried = threading.Semaphore(0)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.code.startswith("2"):
            self.taken.append(
                (envelope.mail_from, envelope.rcpt_tos, email.message_from_bytes(envelope.content))
            )
        self.tried.release()
        return self.code


@pytest.fixture
def post() -> Iterator[tuple[Post, int]]:
    from mail_rig import free_port

    handler = Post()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield handler, controller.port
    controller.stop()


@pytest.fixture
def site(tmp_path: Path, post: tuple[Post, int]) -> Iterator[MailSite]:
    with open_mail_site(tmp_path, smtp_port=post[1]) as made:
        made.usual(reply="on")
        yield made


def text_of(reply: Message) -> str:
    content = reply.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode()


def test_the_outcome_goes_to_the_sender(site: MailSite, post: tuple[Post, int]) -> None:
    site.taken(mail(Message_ID="<7@people.example>", Reply_To="eve@evil.example"), sender="eve@evil.example")
    assert wait_until(lambda: len(post[0].taken) == 1, timeout_s=10)
    sender, recipients, reply = post[0].taken[0]
    assert (sender, recipients) == ("<>", [SENDER])
    assert reply["From"] == ADDRESS
    assert reply["To"] == SENDER
    assert reply["Auto-Submitted"] == "auto-replied"
    assert reply["In-Reply-To"] == "<7@people.example>"
    assert "We are calling 44207xxxxx67 now" in text_of(reply)
    assert PASSWORD not in str(reply)
    assert "10.00" not in str(reply)
    assert wait_until(lambda: site.replies()[0]["delivery"] == "sent", timeout_s=5)
    assert site.replies()[0]["content"] == ""


def test_an_unknown_account_and_a_wrong_password_get_the_same_words(
    site: MailSite, post: tuple[Post, int]
) -> None:
    site.taken(mail(secret="wrong", Message_ID="<1@people.example>"))
    site.taken(mail(account="999", Message_ID="<1@people.example>", From=f"bob@{SENDER.partition('@')[2]}"))
    assert wait_until(lambda: len(post[0].taken) == 2, timeout_s=10)
    one, other = (reply for _, _, reply in post[0].taken)
    different = ("To", "Message-ID")
    assert text_of(one) == text_of(other)
    assert [v for k, v in one.items() if k not in different] == [
        v for k, v in other.items() if k not in different
    ]


def test_a_mail_that_comes_again_is_answered_once(site: MailSite) -> None:
    raw = mail(secret="wrong")
    site.taken(raw)
    site.taken(raw)
    assert len(site.replies()) == 1


def test_what_cannot_be_read_is_explained(site: MailSite, post: tuple[Post, int]) -> None:
    site.taken(mail(body="please call me"))
    assert wait_until(lambda: len(post[0].taken) == 1, timeout_s=10)
    assert "P ACCOUNT PASSWORD SN" in text_of(post[0].taken[0][2])


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-generated"},
        {"List_Unsubscribe": "<mailto:x@y.example>"},
        {"Precedence": "list"},
        {"From": "mailer-daemon@people.example"},
        {"Content_Type": "multipart/report; boundary=x"},
        {"Authentication_Results": None},
    ],
)
def test_machines_and_strangers_are_not_answered(site: MailSite, headers: dict[str, Any]) -> None:
    site.taken(mail(**headers))
    assert site.replies() == []


def test_one_sender_gets_so_many_answers(site: MailSite) -> None:
    site.stores.email_instances.change(ADDRESS, {"replies_per_hour": "2"})
    for _ in range(4):
        site.taken(mail(body="hello"))
    assert len(site.replies()) == 2


def test_without_reply_nothing_is_said(site: MailSite) -> None:
    site.stores.email_instances.change(ADDRESS, {"reply": "off"})
    site.taken(mail())
    assert site.replies() == []


def test_senders_are_answered_unless_it_is_switched_off(tmp_path: Path) -> None:
    with open_mail_site(tmp_path) as site:
        site.usual()
        site.taken(mail())
        assert len(site.replies()) == 1
        site.stores.email_instances.change(ADDRESS, {"policy": "none"})
        site.taken(mail(first="447400900777", Authentication_Results=None))
        assert len(site.replies()) == 1, "whoever it is: it may be forged"


def test_answers_are_in_the_language_of_the_account(site: MailSite, post: tuple[Post, int]) -> None:
    site.stores.accounts.change(ACCOUNT, language="it")
    site.taken(mail(secret="wrong"))
    site.taken(mail())
    assert wait_until(lambda: len(post[0].taken) == 2, timeout_s=10)
    wrong, right = (text_of(reply) for _, _, reply in post[0].taken)
    assert "was refused" in wrong, "who does not know the password learns nothing of the account"
    assert "La stiamo chiamando" in right or "chiam" in right


def test_what_became_of_the_callback_is_told_when_it_is_over(site: MailSite, post: tuple[Post, int]) -> None:
    site.stores.email_instances.change(ADDRESS, {"reply_outcome": "on"})
    site.taken(mail(Message_ID="<8@people.example>"))
    assert wait_until(lambda: len(post[0].taken) == 1, timeout_s=10)
    (row,) = site.callbacks()
    site.stores.requests.claim(1)
    site.stores.requests.finish(row["id"], Ending.BUSY)
    site.shop.clock.passes(5)
    assert wait_until(lambda: len(post[0].taken) == 2, timeout_s=10)
    first, second = (reply for _, _, reply in post[0].taken)
    assert text_of(second).strip() == "We could not reach your phone."
    assert second["In-Reply-To"] == first["In-Reply-To"] == "<8@people.example>"
    assert second["Message-ID"] != first["Message-ID"]
    site.taken(mail(Message_ID="<8@people.example>"))
    assert len(site.replies()) == 2


def an_outcome_is_awaited(site: MailSite) -> None:
    """Of option `reply_outcome`, without a server that takes answers."""
    site.stores.email_instances.change(ADDRESS, {"reply_outcome": "on"})
    site.taken(mail())
    assert len(site.replies()) == 2


def test_a_server_that_is_away_holds_up_no_callback_and_gets_the_answer_later(
    site: MailSite, post: tuple[Post, int]
) -> None:
    post[0].code = "451 later"
    site.taken(mail())
    assert len(site.callbacks()) == 1
    assert post[0].tried.acquire(timeout=10)
    assert wait_until(lambda: any(line["event"] == "mail.answer_not_taken" for line in site.log), timeout_s=5)
    post[0].code = "250 OK"
    site.shop.clock.passes(60)
    assert wait_until(lambda: len(post[0].taken) == 1, timeout_s=10)


def test_mails_and_answers_are_counted(site: MailSite, post: tuple[Post, int]) -> None:
    def logged(event: str, count: int = 1) -> bool:
        """Once it is in the log it is in the database, and not yet when it is tried."""
        return wait_until(
            lambda: [line["event"] for line in list(site.log)].count(event) == count, timeout_s=10
        )

    post[0].code = "451 later"
    site.taken(mail(body="please call me"))
    assert logged("mail.answer_not_taken")
    post[0].code = "550 no"
    site.shop.clock.passes(60)
    assert logged("mail.answer_not_taken", 2)
    assert site.replies()[0]["delivery"] == "failed"
    post[0].code = "250 OK"
    site.taken(mail())
    assert logged("mail.answered")
    registry = CollectorRegistry()
    counted = Counted(registry)
    for line in list(site.log):
        counted.note(line["log_level"], line)

    def figure(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"stasis_callback_{name}_total", labels)

    assert figure("mails_dropped", reason="no_command") == 1
    assert {result: figure("mail_answers", result=result) for result in ("sent", "put_off", "failed")} == {
        "sent": 1, "put_off": 1, "failed": 1,
    }  # fmt: skip


def test_an_answer_that_is_refused_for_good_is_given_up(site: MailSite, post: tuple[Post, int]) -> None:
    post[0].code = "550 no"
    site.taken(mail())
    assert wait_until(lambda: site.replies()[0]["delivery"] == "failed", timeout_s=10)


def test_what_cannot_be_sent_or_written_is_given_up_and_holds_up_no_other(
    site: MailSite, post: tuple[Post, int]
) -> None:
    replies = site.stores.replies
    replies.put("to nobody", "ann@müller.example", "Subject: x\r\n\r\nx\r\n")
    replies.put("of nothing", SENDER, '{"who": "knows"}')
    site.taken(mail())

    def errors() -> list[str]:
        return [line["error"] for line in list(site.log) if line["event"] == "mail.answer_not_taken"]

    def are_tried(times: int) -> bool:
        return wait_until(lambda: len(errors()) == 2 * times, timeout_s=10)

    assert are_tried(1)
    assert wait_until(lambda: len(post[0].taken) == 1, timeout_s=10)
    for times in range(2, 11):
        site.shop.clock.passes(1800)
        assert are_tried(times)
    assert sorted(errors()) == ["TypeError"] * 10 + ["UnicodeEncodeError"] * 10
    assert wait_until(
        lambda: [row["delivery"] for row in site.replies()] == ["failed", "failed", "sent"], timeout_s=10
    )
    assert site.server.replies.worker.restarts == 0


def test_a_subject_or_message_id_never_comes_back(site: MailSite) -> None:
    site.taken(mail(Subject=f"P {ACCOUNT} {PASSWORD} SN 1", Message_ID=f"<{PASSWORD}> evil", body="hello"))
    assert PASSWORD not in site.replies()[0]["content"]


def test_every_language_has_every_text() -> None:
    words = {
        language: {key: answer_text(language, key, "442071234567") for key in TEXT_OF}
        for language in LANGUAGES
    }
    assert len({texts[""] for texts in words.values()}) == len(LANGUAGES)
    assert sorted(path.stem for path in FOLDER.glob("*.toml")) == sorted(LANGUAGES)
    for texts in words.values():
        assert not re.search(r"\{|balance|saldo \d", "".join(texts.values()))
