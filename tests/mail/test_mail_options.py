"""Every option of an e-mail instance changes what happens: its scenario fails when the option is ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest
import test_policy
import test_receiving
import test_replies
from ignoring import ignore_option
from mail_site import MailSite

from stasis_callback.core import email


def _answering(scenario: Callable[[MailSite], None]) -> Callable[[MailSite], None]:
    def play(site: MailSite) -> None:
        site.usual(reply="on")
        scenario(site)

    return play


SCENARIOS: dict[str, Callable[[MailSite], None]] = {
    "policy": test_policy.test_with_policy_none_everybody_is_believed,
    "require_registered": test_policy.test_registered_senders_only,
    "opening_hours": test_receiving.test_an_instance_has_opening_hours,
    "time_zone": test_receiving.test_an_instance_has_opening_hours,
    "call_me_at": test_receiving.test_a_callback_is_made_at_the_time_in_the_mail,
    "credential": test_receiving.test_an_instance_can_take_tokens_only_or_passwords_only,
    "reply": _answering(test_replies.test_without_reply_nothing_is_said),
    "reply_outcome": _answering(test_replies.an_outcome_is_awaited),
    "replies_per_hour": _answering(test_replies.test_one_sender_gets_so_many_answers),
    "webhooks": test_receiving.test_its_steps_are_told_by_the_web_instance_that_is_named,
}
"""They run where they are written."""


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_scenario_fails_when_the_option_is_ignored(
    site: MailSite, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignore_option(monkeypatch, email, name)
    with pytest.raises(AssertionError):
        SCENARIOS[name](site)


def test_every_option_has_a_scenario() -> None:
    assert SCENARIOS.keys() == {field.name for field in fields(email.EmailOptions)}
