"""Every word for a refusal and an ending has its sentence everywhere somebody reads it, in every language."""

from __future__ import annotations

from typing import get_args

import pytest

from stasis_callback.core.mail_command import Problem
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.words import (
    AccountTrouble,
    Dropped,
    Ending,
    FundsTrouble,
    NumberTrouble,
    Refusal,
    Skipped,
)
from stasis_callback.engine.conversation import _ACCOUNT_TROUBLE, _NOT_REACHED, _NUMBER_TROUBLE
from stasis_callback.web.desk import FIELD_OF, STATUS_OF, Asked
from stasis_callback.web.status import REASON_OF
from stasis_callback.web.texts import LANGUAGES, texts
from stasis_callback.written.words import LANGUAGES as WRITTEN_LANGUAGES
from stasis_callback.written.words import TEXT_OF, TEXT_OF_REFUSAL
from stasis_callback.written.words import texts as written_texts

every_language = pytest.mark.parametrize("language", LANGUAGES)
WORDS = [*Refusal, *Ending, *Dropped, *Skipped]


def test_every_table_has_every_word_and_no_other() -> None:
    assert set(STATUS_OF) == set(FIELD_OF) == set(TEXT_OF_REFUSAL) == set(Refusal)
    assert set(REASON_OF) == set(Ending)
    assert set(_ACCOUNT_TROUBLE) == set(get_args(AccountTrouble))
    assert set(_NUMBER_TROUBLE) == set(get_args(NumberTrouble))
    assert set(_NOT_REACHED) == set(Outcome)


@every_language
def test_the_form_has_a_sentence_for_every_refusal(language: str) -> None:
    words = texts(language)
    assert set(Refusal) - set(words["problems"]) == set()
    assert all(words.problem(refusal).endswith((".", "…")) for refusal in Refusal)


@every_language
def test_the_sentences_beside_one_field_of_the_form_differ(language: str) -> None:
    words = texts(language)
    for field in sorted(set(FIELD_OF.values()) - {""}):
        sentences = [words.problem(refusal) for refusal in FIELD_OF if FIELD_OF[refusal] == field]
        assert len(set(sentences)) == len(sentences), field


@every_language
def test_the_status_page_has_a_sentence_for_every_ending(language: str) -> None:
    reasons = texts(language)["reasons"]
    assert set(REASON_OF.values()) - set(reasons) == set()
    assert all(sentence.endswith(".") for sentence in reasons.values())


@pytest.mark.parametrize("language", WRITTEN_LANGUAGES)
def test_a_reply_has_a_sentence_for_every_refusal(language: str) -> None:
    assert set(TEXT_OF.values()) - set(written_texts(language)) == set()


def test_the_sender_of_a_mail_is_told_what_is_wrong_with_its_command() -> None:
    commands = [dropped for dropped in Dropped if dropped.source == "its command"]
    others = {Dropped.BAD_VOUCHER, Dropped.BAD_TIME, Dropped.NO_TIMES, Dropped.CLOSED}
    assert set(get_args(Problem)) == set(commands) - others
    assert {TEXT_OF[dropped] for dropped in get_args(Problem)} == {"unreadable"}
    assert {TEXT_OF[dropped] for dropped in others} == others


@pytest.mark.parametrize("word", WORDS, ids=lambda word: f"{type(word).__name__}.{word}")
def test_operators_have_a_sentence_a_source_and_a_remedy(word: Refusal | Ending | Dropped | Skipped) -> None:
    assert word.name == word.value.upper()
    assert all((word.sentence, word.source, word.remedy))
    assert not word.sentence.endswith(".")
    assert word.sentence[0].islower()


def test_a_word_is_its_text_and_an_unknown_one_is_none() -> None:
    assert Refusal.of("no_funds") is Refusal.NO_FUNDS
    assert [Refusal.NO_FUNDS, f"{Refusal.NO_FUNDS}"] == ["no_funds", "no_funds"]
    assert [Refusal.of("of an older release"), Ending.of("of an older release"), Ending.of("")] == [None] * 3
    assert Ending.of("completed") is Ending.COMPLETED


@pytest.mark.parametrize("outcome", Outcome)
def test_a_callback_may_end_with_any_end_of_its_first_leg(outcome: Outcome) -> None:
    ending = Ending.of_leg(outcome)
    assert ending == ("interrupted" if outcome is Outcome.ANSWERED else outcome.value)


@pytest.mark.parametrize("trouble", [*get_args(AccountTrouble), *get_args(FundsTrouble)])
def test_what_refuses_a_callback_may_also_end_one(trouble: AccountTrouble | FundsTrouble) -> None:
    assert Ending.of_trouble(trouble) == trouble.value


@pytest.mark.parametrize("refusal", Refusal)
def test_a_program_is_told_of_every_refusal_that_it_is_none(refusal: Refusal) -> None:
    assert 400 <= Asked(problems={"": refusal}).status < 600
    assert Asked(problems={"": refusal}).status == STATUS_OF[refusal]


NOTHING_DIALLED = [ending for ending in Ending if ending.source == "before leg A is dialled"]


@every_language
def test_nobody_is_told_of_a_phone_that_was_not_called(language: str) -> None:
    words = texts(language)
    assert NOTHING_DIALLED
    for ending in NOTHING_DIALLED:
        assert words.reason(REASON_OF[ending]) not in (
            words.reason("first_failed"),
            words.reason("not_connected"),
        )


@every_language
def test_what_is_wrong_with_an_account_or_a_pin_is_not_told(language: str) -> None:
    words = texts(language)
    assert REASON_OF[Ending.ACCOUNT_BLOCKED] == REASON_OF[Ending.ACCOUNT_EXPIRED]
    assert words.reason(REASON_OF[Ending.LOGIN_FAILED]) == words.reason("not_connected")
    assert words.problem(Refusal.UNKNOWN_ACCOUNT) == words["problems"]["wrong_account"]
