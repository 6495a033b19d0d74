"""Mails of many programs: what their senders wrote is read, what stands around it is not."""

from __future__ import annotations

import pytest
from clients import ATTRIBUTIONS, MACHINES, NOT_WRITTEN, WRITTEN, answered
from samples import COMMAND

from stasis_callback.mail.reading import read_mail


@pytest.mark.parametrize("client", WRITTEN)
def test_what_the_sender_wrote_is_read(client: str) -> None:
    mail = read_mail(WRITTEN[client]())
    assert (mail.command, mail.problem) == (COMMAND, None)
    assert not mail.is_automatic
    assert len(mail.from_addresses) == 1


@pytest.mark.parametrize("language", ATTRIBUTIONS)
def test_the_mail_that_is_answered_does_not_count(language: str) -> None:
    assert read_mail(answered(language)).command == COMMAND


@pytest.mark.parametrize("client", NOT_WRITTEN)
def test_what_somebody_else_wrote_does_not_count(client: str) -> None:
    assert read_mail(NOT_WRITTEN[client]()).command is None


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machines_mail_is_automatic(machine: str) -> None:
    assert read_mail(MACHINES[machine]()).is_automatic
