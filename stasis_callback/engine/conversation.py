"""The conversation after leg A is answered: login, greeting, destination, connected call, next one, goodbye."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from stasis_callback.ari.errors import AriError
from stasis_callback.core import numbers
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.fraud import NotAllowed, OverBudget
from stasis_callback.core.limits import Limit
from stasis_callback.core.money import parse_amount
from stasis_callback.core.numbering import read_number
from stasis_callback.core.options import WITHHELD
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.words import AccountTrouble, Ending, FraudTrouble, NumberTrouble, Refusal
from stasis_callback.engine import login
from stasis_callback.engine.admission.checks import account_trouble, number_trouble
from stasis_callback.engine.connection import Connection, Warnings, words_id
from stasis_callback.engine.failover import outcome_of, over_trunks
from stasis_callback.engine.funding import PaidLeg, TrunkFull, meet, setup_s_of
from stasis_callback.engine.legs import NOTE_PATIENCE_S, over_beside, settle_over
from stasis_callback.engine.redeeming import redeem
from stasis_callback.engine.routing import Way
from stasis_callback.engine.slices import TalkFunds
from stasis_callback.engine.tools import CallTools
from stasis_callback.ivr.call import Call, Leg
from stasis_callback.ivr.dialog import Dialog
from stasis_callback.ivr.prompts import NOTHING, Prompt, Utterance
from stasis_callback.ivr.voice import voices
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.calls.legs import Fare
from stasis_callback.store.calls.requests import RequestView

log = structlog.get_logger()

DESTINATION_DIGITS_LIMIT = 20
SPEED_DIAL_DIGITS = 2
VOUCHER_DIGITS_LIMIT = 32
"""The longest code that is generated."""
HANGS_UP_WITHIN_S = 0.5
"""After the question that follows a talk: who means to answer it has begun to, or takes longer than this anyway."""
BEEP = Utterance(("sound:beep",), "(a beep)")

_NOT_REACHED = {
    Outcome.BUSY: Prompt.NUMBER_BUSY,
    Outcome.NO_ANSWER: Prompt.NUMBER_NO_ANSWER,
    Outcome.REJECTED: Prompt.NUMBER_UNREACHABLE,
    Outcome.CONGESTION: Prompt.NUMBER_UNREACHABLE,
    Outcome.UNALLOCATED: Prompt.NUMBER_INVALID,
    Outcome.FAILED: Prompt.NUMBER_UNREACHABLE,
    Outcome.CANCELLED: Prompt.NUMBER_UNREACHABLE,
    Outcome.NOT_DIALED: Prompt.NUMBER_UNREACHABLE,
    Outcome.ANSWERED: Prompt.NUMBER_UNREACHABLE,  # but nobody could be connected to it
}
_ACCOUNT_TROUBLE: dict[AccountTrouble, Prompt] = {
    Refusal.ACCOUNT_BLOCKED: Prompt.ACCOUNT_BLOCKED,
    Refusal.ACCOUNT_EXPIRED: Prompt.ACCOUNT_EXPIRED,
}

_TROUBLE_IN_TALK: dict[AccountTrouble | FraudTrouble, Prompt] = {
    Refusal.ACCOUNT_BLOCKED: Prompt.ACCOUNT_BLOCKED,
    Refusal.ACCOUNT_EXPIRED: Prompt.ACCOUNT_EXPIRED,
    Refusal.SET_ASIDE: Prompt.LIMIT_REACHED,
    Refusal.NEVER_CALLED: Prompt.LIMIT_REACHED,
}
_NUMBER_TROUBLE: dict[NumberTrouble, Prompt] = {
    Refusal.EMERGENCY_NUMBER: Prompt.EMERGENCY_NUMBER,
    Refusal.BAD_CALLBACK_NUMBER: Prompt.NUMBER_INVALID,
    Refusal.DESTINATION_NOT_IN_TARIFF: Prompt.DESTINATION_NOT_AVAILABLE,
    Refusal.OWN_NUMBER: Prompt.DESTINATION_NOT_AVAILABLE,
}


def apologise(tools: CallTools, call: Call, request: RequestView, leg: Leg) -> None:
    """Play an apology for an internal failure on a leg. Raises HungUp, AriError."""
    said_by = voices(tools.sounds, request.options.language_list, request.options.brand)[0]
    Dialog(call, leg, "sorry").tell(said_by.say(Prompt.APOLOGY))


@dataclass(frozen=True, slots=True)
class Destination:
    """A number that may be called: on what, and the trunks to try."""

    fare: Fare
    ways: Sequence[Way]


class Conversation:
    """The talk with one subscriber on a leg A that is up. Every method raises HungUp when that leg ends."""

    def __init__(self, tools: CallTools, call: Call, request: RequestView, a: PaidLeg) -> None:
        self._tools = tools
        self._call = call
        self._request = request
        self._options = request.options
        self._a = a
        self._subscriber_id = request.subscriber_id
        self._tried = 0
        """How many legs B were noted."""
        self._connected = 0
        self._called_last: str | None = None
        """The number of the last leg B: its xDR may still have to be written."""
        self._dialog = Dialog(call, a.leg)
        self._voice = voices(tools.sounds, self._options.language_list, self._options.brand)[0]

    def hold(self) -> Ending:
        """Run the whole conversation. Returns its ending."""
        if not self._request.destination and self._options.answer_check != "amd":
            self._dialog.say(self._voice.say(Prompt.SILENCE))
        if not login.accepted(self._call, self._a.leg, self._dialog, self._voice, self._options):
            return Ending.NOT_ACCEPTED
        account = None if self._asks_for_pin else self._account()
        self._voice = login.chosen_voice(self._dialog, self._tools, self._request, account)
        if self._options.welcome:
            self._dialog.say(self._voice.say(Prompt.WELCOME))
        if account is None:
            account = login.Login(self._tools, self._request, self._dialog, self._voice).run()
            if account is None:
                return self._goodbye(Ending.LOGIN_FAILED)
            self._subscriber_id = account.id
        if not self._request.destination:
            self._dialog.say(self._announced(account))
        if self._options.low_balance_mode == "disconnect" and self._funds_are_low(account):
            self._dialog.tell(self._voice.say(Prompt.NO_FUNDS))
            credited = bool(self._options.voucher_key) and self._redeem()
            if not credited or self._funds_are_low(self._account()):
                return self._goodbye(Ending.LOW_BALANCE)
        if self._request.destination:
            self._connect_at_once()
        return self.go_on()

    def go_on(self) -> Ending:
        """Destination after destination, then goodbye. One the request brought is the only one, unless set so."""
        if not self._request.destination or self._options.menu_afterwards:
            self._destinations()
        return self._goodbye(Ending.COMPLETED if self._connected else Ending.NO_DESTINATION)

    def _connect_at_once(self) -> None:
        """Call the destination that came with the request; the greeting is said while it is being called."""

        def greeting(connection: Connection) -> Utterance:
            said = self._announced(self._account()) + self._duration(connection.longest_s)
            return self._voice.say(Prompt.SILENCE) + (said if said.media else self._voice.say(Prompt.CALLING))

        refusal = self._connect(self._request.destination, self._request.destination, greeting)
        if refusal is not None:
            self._dialog.tell(refusal)
        elif self._options.menu_afterwards:
            self._extend_menu()

    def resume_talk(self, b: PaidLeg) -> Ending:
        """Leg B talks already, since before a restart of the service: go on from there."""
        self._tried = self._request.leg_number(b.leg.id)
        self._connected, self._called_last = 1, b.number
        with suppress(AriError):
            self._tools.client.playback(words_id(b.leg.id)).stop()
        meet(self._a, b, self._options.talk_limit_s)
        try:
            longest_s = self._tools.funding.longest_talk_s(self._a, b, self._options)
        except StoreUnavailable:
            longest_s = b.funded_s  # looked at again with the next slice
        self._talk(Connection(self._tools, self._call, self._a, b, self._request.id, longest_s))
        return self.go_on()

    def _goodbye(self, outcome: Ending) -> Ending:
        self._dialog.tell(self._voice.say(Prompt.GOODBYE))
        return outcome

    @property
    def _asks_for_pin(self) -> bool:
        """Whether the subscriber is still to be known by a PIN."""
        return self._subscriber_id is None and self._request.triggered_by == "pin"

    def _account(self) -> AccountView:
        """The account that pays for destinations, as it is now."""
        return self._tools.stores.accounts.get(self._account_id)

    @property
    def _account_id(self) -> int:
        """The subscriber's account; the instance's, if the subscriber is not known (hosted)."""
        return self._subscriber_id or self._request.account_id

    # --- greeting ------------------------------------------------------------------------------------------------

    def _announced(self, account: AccountView) -> Utterance:
        """The balance; nothing where it is not wanted, or an internal account pays, which is nobody's business."""
        said = self._options.announce_balance != "off" and self._subscriber_id is not None
        return self._balance(account) if said else NOTHING

    def _balance(self, account: AccountView) -> Utterance:
        """What the subscriber has."""
        credit_micros = account.credit_limit_micros if self._options.announce_balance == "funds" else 0
        words = self._amount(Prompt.BALANCE_IS, account.balance_micros + credit_micros, account)
        if self._options.announce_credit_limit and account.credit_limit_micros:
            words += self._amount(Prompt.CREDIT_LIMIT_IS, account.credit_limit_micros, account)
        return words

    def _amount(self, lead_in: Prompt, amount_micros: int, account: AccountView) -> Utterance:
        return self._voice.say(lead_in) + self._voice.money(amount_micros, account.currency)

    def _funds_are_low(self, account: AccountView) -> bool:
        funds_micros = account.balance_micros + account.credit_limit_micros
        return funds_micros < parse_amount(self._options.low_balance_amount)

    # --- destinations ----------------------------------------------------------------------------------------------

    def _destinations(self) -> None:
        """Ask and connect until too many tries failed, or the time or the calls of this callback are used up."""
        options, clock = self._options, self._tools.clock
        failures, deadline_s = 0, clock.monotonic_s() + options.menu_limit_s
        while failures < options.destination_attempts and self._connected < options.calls_per_callback:
            if clock.monotonic_s() > deadline_s:
                return
            self._a.try_arm()  # only where Asterisk has not said that the timer stands right
            keyed = self._dialog.ask(
                self._voice.say(Prompt.ENTER_ANOTHER if self._connected else Prompt.ENTER_DESTINATION),
                digits_limit=DESTINATION_DIGITS_LIMIT,
                first_digit_timeout_s=options.first_digit_timeout_s,
                inter_digit_timeout_s=options.inter_digit_timeout_s,
                terminator=options.terminator,
                after_words=self._settle_soon,
            )
            if keyed and keyed == self._options.voucher_key:
                credited = self._redeem()
                failures = 0 if credited else failures + 1
                deadline_s = clock.monotonic_s() + options.menu_limit_s if credited else deadline_s
                continue
            refusal = self._call_destination(keyed)
            if refusal is not None:
                failures += 1
                if refusal.media:
                    self._dialog.tell(refusal)
            else:
                failures, deadline_s = 0, clock.monotonic_s() + options.menu_limit_s
                self._extend_menu()

    def _redeem(self) -> bool:
        """Ask for the code of a voucher and credit it; whether there is more money than before."""
        options = self._options
        if self._subscriber_id is None:
            return False
        code = self._dialog.ask(
            self._voice.say(Prompt.ENTER_VOUCHER),
            digits_limit=VOUCHER_DIGITS_LIMIT,
            secret=True,
            first_digit_timeout_s=options.first_digit_timeout_s,
            inter_digit_timeout_s=options.inter_digit_timeout_s,
            terminator=options.terminator,
        )
        if not code:
            return False
        limit = Limit(options.lockout_failures, math.ceil(options.lockout_s))
        done = redeem(self._tools.stores, self._account(), code, limit)
        if done.reason:
            locked = done.reason is Refusal.LOCKED_OUT
            self._dialog.tell(self._voice.say(Prompt.VOUCHER_LOCKED if locked else Prompt.VOUCHER_WRONG))
            return False
        self._dialog.tell(self._balance(done.account))
        if not done.repeated:
            self._extend_menu()
        return not done.repeated

    def _extend_menu(self) -> None:
        """Pay for the menus that follow; without a database there is what was held before."""
        if self._tools.funding.pays_for_menu(self._a, self._options.menu_limit_s):
            return
        settle_over(self._tools, self._call, self._a.leg)  # what a talk did not use may be needed
        try:
            with self._tools.stores.database.patience(NOTE_PATIENCE_S):
                self._tools.funding.extend_menu(self._a, self._options.menu_limit_s)
        except (StoreUnavailable, OverBudget) as error:
            log.warning("menu.not_extended", leg=self._a.leg.id, error=str(error))

    def _call_destination(self, keyed: str) -> Utterance | None:
        """Call what was keyed and let the two talk; what to say when it did not come to that."""

        def duration(connection: Connection) -> Utterance:
            self._dialog.say(self._duration(connection.longest_s))
            return NOTHING

        return self._connect(self._number(keyed), keyed, duration)

    def _connect(
        self, number: str | Prompt, asked_for: str, announce: Callable[[Connection], Utterance]
    ) -> Utterance | None:
        """Call a number and let the two talk; what to say when it did not come to that: nothing to a subscriber who
        gave it up.

        `announce` is called before the first leg B is dialled; what it gives is said while leg B is being called.
        """
        settle_over(self._tools, self._call, self._a.leg)
        to = self._destination(number)
        if isinstance(to, Prompt):
            return self._refused(to, asked_for)
        meanwhile: Utterance | None = None

        def dial(connection: Connection, way: Way) -> bool:
            nonlocal meanwhile
            meanwhile = announce(connection) if meanwhile is None else meanwhile
            return self._dial(connection, way, meanwhile)

        try:
            tried = over_trunks(
                self._tools.health.in_turn(to.ways),
                self._options.trunk_attempts,
                self._tools.health,
                open_leg=lambda way, _: self._open(to.fare, way),
                dial=dial,
                leg_of=lambda connection: connection.b.leg,
                may_go_on=lambda connection: not connection.given_up and self._call.lost is None,
            )
        except NotAllowed as held_back:
            log.info("destination.held_back", call=self._request.id, reason=held_back.reason)
            return self._refused(Prompt.DESTINATION_NOT_AVAILABLE, asked_for)
        if tried.last is None:
            return self._refused(Prompt.NO_FUNDS if tried.no_funds else Prompt.NUMBER_UNREACHABLE, asked_for)
        if tried.answered:
            self._talk(tried.last)
            return None
        if tried.last.given_up:
            return NOTHING
        return self._voice.say(_NOT_REACHED[outcome_of(tried.last.b.leg)])

    def _refused(self, reason: Prompt, asked_for: str) -> Utterance:
        log.info("destination.refused", call=self._request.id, reason=reason, number=numbers.mask(asked_for))
        return self._voice.say(reason)

    def _dial(self, connection: Connection, way: Way, meanwhile: Utterance) -> bool:
        """Call leg B; whether it was answered. When not, it is settled, and its hold is given back."""
        try:
            withheld = self._options.caller_id_b == WITHHELD
            number = (
                self._request.dnis if withheld else self._options.caller_id_b or self._request.leg_a_number
            )
            return connection.dial(
                way.caller_id(number), self._options.ring_timeout_b_s, meanwhile, withheld=withheld
            )
        finally:
            if not connection.b.leg.up:
                connection.end()

    def _number(self, keyed: str) -> str | Prompt:
        """The number behind what was keyed: a speed dial, the last number again, or one in some national form."""
        if not keyed:
            return Prompt.TRY_AGAIN
        stored: str | None = None
        if keyed == self._options.redial_key and self._subscriber_id is not None:
            stored = self._called_last or self._tools.stores.calls.last_destination(self._account_id)
        elif self._options.speed_dial and len(keyed) <= SPEED_DIAL_DIGITS:
            stored = self._tools.stores.accounts.speed_dials(self._account_id).get(keyed)
        else:
            rules = numbers.parse_rules(self._options.dial_rules)
            translated = numbers.translate(rules, keyed)
            # What the rules have changed is international already.
            region = self._options.region if translated == keyed else ""
            return read_number(translated, region) or Prompt.NUMBER_INVALID
        return stored or Prompt.SPEED_DIAL_EMPTY

    def _destination(self, number: str | Prompt) -> Destination | Prompt:
        """Rate and route a number; why not, when it may not be called."""
        if isinstance(number, Prompt):
            return number
        stores, options = self._tools.stores, self._options
        account = self._account()
        trouble = account_trouble(account, self._tools.clock.now_us())
        if trouble:
            return _ACCOUNT_TROUBLE[trouble]
        refusal, rate = number_trouble(stores, account, number, options.access_code)
        if refusal or rate is None:
            return _NUMBER_TROUBLE[refusal or Refusal.DESTINATION_NOT_IN_TARIFF]
        if options.low_balance_mode == "refuse" and self._funds_are_low(account):
            return Prompt.NO_FUNDS
        ways = self._tools.router.ways(number, rate, account.currency, options)
        return Destination(Fare(account, number, rate), ways) if ways else Prompt.DESTINATION_NOT_AVAILABLE

    def _open(self, fare: Fare, way: Way) -> Connection | None:
        """A leg B, noted and paid for but not yet dialled; None when there are no funds.

        Raises TrunkFull, NotAllowed.
        """
        request = self._request
        self._tried += 1
        leg_id = request.leg_id("b", self._tried)
        endpoint = way.dial_string(fare.number)
        now_us = self._tools.client.time.now_us()
        leg = self._call.add(leg_id, is_a=False)
        leg.note(now_us)
        leg.answers = way.answers
        try:
            grant = self._tools.funding.open_leg_b(
                leg_id, request, replace(fare, carrier=way.carrier), self._a, now_us
            )
        except (TrunkFull, NotAllowed):
            self._call.drop(leg)
            raise
        if grant is None:
            self._call.drop(leg)
            return None
        self._called_last = fare.number
        b = PaidLeg(leg, fare.rate, fare.account.book_id, grant.held_s, now_us, setup_s_of(request))
        b.number, b.currency, b.side = fare.number, fare.account.currency, "b"
        return Connection(
            self._tools, self._call, self._a, b, request.id, grant.longest_s, endpoint, way.no_progress_s
        )

    def _duration(self, talk_s: int) -> Utterance:
        if self._options.announce_duration == "off":
            return NOTHING
        length = self._voice.duration(talk_s, self._options.announce_duration)
        return self._voice.say(Prompt.MAXIMUM_DURATION_IS) + length

    # --- talk ------------------------------------------------------------------------------------------------------

    def _talk(self, connection: Connection) -> None:
        self._connected += 1
        self._note_answer(connection)
        funds = TalkFunds(
            stores=self._tools.stores,
            funding=self._tools.funding,
            clock=self._tools.clock,
            a=connection.a,
            b=connection.b,
            options=self._options,
            accounts=(self._request.account_id, self._account_id),
            longest_s=connection.longest_s,
        )
        try:
            connection.talk(funds, self._warnings(connection.longest_s))
        finally:
            connection.end(settle=False)
        if connection.ran_out:
            by_funds = connection.b.funded_s < self._options.talk_limit_s
            ended_by = Prompt.CREDIT_USED_UP if by_funds else Prompt.LIMIT_REACHED
            self._dialog.tell(self._voice.say(_TROUBLE_IN_TALK[funds.trouble] if funds.trouble else ended_by))

    def _settle_soon(self) -> None:
        """Charge leg B of the talk that is over, now that the next question was said.

        Not as soon as it ends: who hangs up when that is said, as most do, has both legs settled by the commit that
        ends the callback. Of a leg A that has hung up meanwhile, Asterisk reports the end of the words first.
        """
        if over_beside(self._call, self._a.leg):
            self._call.wait(lambda: bool(self._a.leg.digits), HANGS_UP_WITHIN_S)
            settle_over(self._tools, self._call, self._a.leg)

    def _note_answer(self, connection: Connection) -> None:
        """Store that the two talk. They do so also while the database is away."""
        stores, leg = self._tools.stores, connection.b.leg
        try:
            with stores.database.first(), stores.database.patience(NOTE_PATIENCE_S):
                stores.calls.leg_answered(leg.id, leg.answered_at_us or 0, leg.elapsed_s(), leg.doubt_s)
            leg.answer_noted = True
        except StoreUnavailable as error:
            log.warning("answer.not_noted", leg=leg.id, error=str(error))

    def _warnings(self, longest_s: int) -> Warnings | None:
        """What to tell the subscriber, and when, before the funds end."""
        options = self._options
        if not options.low_funds_warning_s or longest_s <= options.low_funds_warning_s:
            return None  # the maximum duration was said a moment ago

        def words(left_s: int) -> Utterance:
            if options.low_funds_warning == "beep":
                return BEEP
            return self._voice.say(Prompt.LOW_FUNDS) + self._voice.duration(left_s)

        return Warnings(options.low_funds_warning_s, options.low_funds_repeat_s, words)
