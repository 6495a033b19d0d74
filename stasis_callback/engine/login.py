"""Before the conversation: who has answered, language, PIN. Source: the specification, "PIN callback trigger"."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from stasis_callback.core import numbers
from stasis_callback.core.options import CallOptions
from stasis_callback.engine.admission.checks import account_trouble, login_key
from stasis_callback.engine.tools import CallTools
from stasis_callback.ivr.call import Call, Leg
from stasis_callback.ivr.dialog import Dialog
from stasis_callback.ivr.prompts import Prompt, Utterance
from stasis_callback.ivr.voice import Voice, silent, voices
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.accounts.passwords import password_matches
from stasis_callback.store.calls.requests import RequestView

log = structlog.get_logger()

PIN_DIGITS_LIMIT = 32
MENU_TRIES = 2


ANSWER_CHECK_LIMIT_S = 14.0
"""AMD says after 7.4 s at the latest what it thinks, having listened twice (asterisk-conf/amd.conf), and Asterisk
then offers the channel for five seconds more."""


def accepted(call: Call, leg: Leg, dialog: Dialog, said_by: Voice, options: CallOptions) -> bool:
    """Whether a person has answered, as far as `answer_check` wants to know. Raises HungUp.

    AMD answers for most; who is silent, or cannot be told, is asked to press 1, which a machine does not.
    """
    if options.answer_check == "off":
        return True
    if options.answer_check == "amd":
        heard = _listened(call, leg)
        log.info("answer.checked", leg=leg.id, heard=heard)
        if heard in ("HUMAN", "MACHINE"):
            return heard == "HUMAN"
    prompt = said_by.say(Prompt.PRESS_ONE)
    return any(_key(dialog, prompt, options) == "1" for _ in range(MENU_TRIES))


def _listened(call: Call, leg: Leg) -> str:
    """What Asterisk says about who answered; if it says nothing: unsure."""
    leg.channel.check_answer()
    call.wait(lambda: leg.answer_check is not None, ANSWER_CHECK_LIMIT_S)
    return leg.answer_check or "NOTSURE"


def chosen_voice(
    dialog: Dialog, tools: CallTools, request: RequestView, account: AccountView | None
) -> Voice:
    """The account's language, or the one language there is, or the one the subscriber chooses (else the first).

    A language without prompts is as if it were not set.
    """
    options = request.options
    own = [account.language] if account is not None and account.language else []
    if gone := silent(tools.sounds, (*own, *options.language_list), options.brand):
        log.warning("language.no_prompts", call=request.id, languages=gone)
    if own and own[0] not in gone:
        return voices(tools.sounds, own, options.brand)[0]
    menu = voices(tools.sounds, options.language_list, options.brand)
    chosen = menu[0]
    if len(menu) > 1:
        words = [v.say(Prompt.LANGUAGE_MENU) + v.digits(str(n)) for n, v in enumerate(menu, start=1)]
        key = _key(dialog, sum(words[1:], words[0]), options)
        if key.isdigit() and 1 <= int(key) <= len(menu):
            chosen = menu[int(key) - 1]
    return chosen


@dataclass
class Login:
    """The PIN login of one call. Unknown, blocked and wrong get the same words after the same work."""

    tools: CallTools
    request: RequestView
    dialog: Dialog
    voice: Voice

    def run(self) -> AccountView | None:
        """The account whose PIN was keyed; None when nobody logged in, which has been said. Raises HungUp."""
        options, throttles = self.request.options, self.tools.stores.throttles
        key = login_key(self.request.leg_a_number)
        for _ in range(options.login_attempts):
            account = self._attempt(options)
            if account is not None:
                throttles.succeeded(key)
                if not self.tools.stores.requests.log_in(self.request.id, account.id):
                    self.dialog.tell(self.voice.say(Prompt.ACCOUNT_IN_USE))
                    return None
                log.info("login.succeeded", call=self.request.id)
                self._remember_number(account, options)
                return account
            locked = throttles.failed(key, limit=options.lockout_failures, lock_s=options.lockout_s)
            log.info("login.failed", call=self.request.id, locked=locked)
            self.dialog.tell(self.voice.say(Prompt.LOGIN_WRONG))
            if locked:
                break
        return None

    def _attempt(self, options: CallOptions) -> AccountView | None:
        pin = _entry(self.dialog, self.voice, Prompt.ENTER_PIN, options)
        password = (
            _entry(self.dialog, self.voice, Prompt.ENTER_PASSWORD, options) if options.ask_password else ""
        )
        account = self.tools.stores.accounts.find(pin) if pin else None
        good = (
            account is not None
            and account.number == pin  # an alias is a telephone number: known to others, so no secret
            and account.id != self.request.account_id
            and not account_trouble(account, self.tools.clock.now_us())
        )
        if options.ask_password:
            good &= password_matches(password, account.password_hash if account and good else "")
        return account if good else None

    def _remember_number(self, account: AccountView, options: CallOptions) -> None:
        """Offer to know the caller by number from now on."""
        ani = numbers.clean(self.request.ani) or ""
        known_as = numbers.translate(numbers.parse_rules(options.ani_rules), ani).removeprefix("+")
        accounts = self.tools.stores.accounts
        if options.register_ani == "off" or not known_as or accounts.find(known_as) is not None:
            return
        if options.register_ani == "ask":
            offer = self.voice.say(Prompt.REGISTER_OFFER)
            if _key(self.dialog, offer, options) != "1":
                return
        if accounts.add_alias(account.id, known_as):
            log.info("ani.registered", call=self.request.id, number=numbers.mask(known_as))
            if options.register_ani == "ask":
                self.dialog.tell(self.voice.say(Prompt.REGISTERED))


def _entry(dialog: Dialog, said_by: Voice, prompt: Prompt, options: CallOptions) -> str:
    return dialog.ask(
        said_by.say(prompt),
        digits_limit=PIN_DIGITS_LIMIT,
        secret=True,
        first_digit_timeout_s=options.first_digit_timeout_s,
        inter_digit_timeout_s=options.inter_digit_timeout_s,
    )


def _key(dialog: Dialog, words: Utterance, options: CallOptions) -> str:
    """Wait for one digit."""
    return dialog.ask(
        words,
        digits_limit=1,
        first_digit_timeout_s=options.first_digit_timeout_s,
        inter_digit_timeout_s=options.inter_digit_timeout_s,
    )
