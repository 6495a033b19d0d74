"""What the subscriber goes through once leg A is up: greeting, balance, destination, talk, another one, goodbye."""

from __future__ import annotations

import structlog

from stasis_callback.core import numbers
from stasis_callback.core.outcomes import Outcome
from stasis_callback.engine.admission import account_trouble
from stasis_callback.engine.connection import Connection
from stasis_callback.engine.funding import PaidLeg
from stasis_callback.engine.services import Services
from stasis_callback.ivr.call import Call
from stasis_callback.ivr.dialog import Dialog
from stasis_callback.ivr.prompts import Prompt, Prompts
from stasis_callback.ivr.speech import Speech
from stasis_callback.store.requests import RequestView

log = structlog.get_logger()

DESTINATION_DIGITS_LIMIT = 20

_NOT_REACHED = {
    Outcome.BUSY: Prompt.NUMBER_BUSY,
    Outcome.NO_ANSWER: Prompt.NUMBER_NO_ANSWER,
    Outcome.REJECTED: Prompt.NUMBER_UNREACHABLE,
    Outcome.CONGESTION: Prompt.NUMBER_UNREACHABLE,
    Outcome.UNALLOCATED: Prompt.NUMBER_INVALID,
}
_ACCOUNT_TROUBLE = {
    "account_blocked": Prompt.ACCOUNT_BLOCKED,
    "account_expired": Prompt.ACCOUNT_EXPIRED,
}


class Conversation:
    """The talk with one subscriber on a leg A that is up. Every method raises HungUp when that leg ends."""

    def __init__(self, services: Services, call: Call, request: RequestView, a: PaidLeg) -> None:
        self._s = services
        self._call = call
        self._request = request
        self._options = request.options
        self._a = a
        self._tried = 0
        self.connected = 0
        self._dialog = Dialog(call, a.leg)
        self._prompts = Prompts(services.sounds)
        self._speech = Speech(self._prompts)

    def hold(self) -> str:
        """The whole conversation; how it ended."""
        self._greet()
        return self.go_on()

    def go_on(self) -> str:
        """Destination after destination, then goodbye."""
        self._destinations()
        self._dialog.tell(self._prompts.say(Prompt.GOODBYE))
        return "completed" if self.connected else "no_destination"

    def resume_talk(self, b: PaidLeg) -> str:
        """Leg B talks already, since before a restart of the service: go on from there."""
        self._tried = self.connected = 1
        self._talk(Connection(self._s, self._call, self._a, b, self._request.id))
        return self.go_on()

    def apologise(self) -> None:
        """Say that it is our fault."""
        self._dialog.tell(self._prompts.say(Prompt.APOLOGY))

    def _greet(self) -> None:
        self._dialog.say(self._prompts.say(Prompt.SILENCE))
        if self._options.welcome:
            self._dialog.say(self._prompts.say(Prompt.WELCOME))
        if self._options.announce_balance:
            account = self._s.stores.accounts.get(self._request.account_id)
            funds_micros = account.balance_micros + account.credit_limit_micros
            balance = self._speech.money(funds_micros, account.currency)
            self._dialog.say(self._prompts.say(Prompt.BALANCE_IS) + balance)

    def _destinations(self) -> None:
        failures = 0
        while (
            failures < self._options.destination_attempts
            and self.connected < self._options.calls_per_callback
        ):
            self._s.funding.extend_menu(self._a, self._options.menu_limit_s)
            prompt = Prompt.ENTER_ANOTHER if self.connected else Prompt.ENTER_DESTINATION
            keyed = self._dialog.ask(
                self._prompts.say(prompt),
                digits_limit=DESTINATION_DIGITS_LIMIT,
                first_digit_timeout_s=self._options.first_digit_timeout_s,
                inter_digit_timeout_s=self._options.inter_digit_timeout_s,
            )
            answer = self._call_destination(keyed)
            failures = failures + 1 if answer else 0
            if answer:
                self._dialog.tell(self._prompts.say(answer))

    def _call_destination(self, keyed: str) -> Prompt | None:
        """Call what was keyed and let the two talk; what to say when it did not come to that."""
        if not keyed:
            return Prompt.TRY_AGAIN
        rules = numbers.parse_rules(self._options.dial_rules)
        number = numbers.dialable(numbers.translate(rules, keyed))
        if number is None:
            log.info(
                "destination.refused", call=self._request.id, reason="invalid", number=numbers.mask(keyed)
            )
            return Prompt.NUMBER_INVALID
        connection = self._authorise(number)
        if not isinstance(connection, Connection):
            log.info(
                "destination.refused", call=self._request.id, reason=connection, number=numbers.mask(number)
            )
            return connection
        try:
            self._announce_duration(connection.b.funded_s)
            answered = connection.dial(number, self._caller_id_b(), self._options.ring_timeout_b_s)
        finally:
            if not connection.b.leg.up:
                connection.end()
        if not answered:
            return _NOT_REACHED.get(connection.outcome, Prompt.NUMBER_UNREACHABLE)
        self._talk(connection)
        return None

    def _authorise(self, number: str) -> Connection | Prompt:
        """Rate and fund a destination; the leg, noted and paid for but not yet dialled, or why not."""
        stores, request = self._s.stores, self._request
        account = stores.accounts.get(request.account_id)
        trouble = account_trouble(account, self._s.clock.now_us())
        if trouble:
            return _ACCOUNT_TROUBLE[trouble]
        rate = stores.tariffs.match(account.tariff_id, number)
        if rate is None or stores.access_numbers.find(number) is not None:
            return Prompt.DESTINATION_NOT_AVAILABLE
        self._tried += 1
        leg_id = f"{request.id}-b{self._tried}"
        options = self._options
        talk_s = self._s.funding.open_leg_b(
            leg_id,
            request.id,
            number,
            account.id,
            rate,
            self._a,
            options.ring_timeout_b_s,
            options.talk_limit_s,
        )
        if not talk_s:
            return Prompt.NO_FUNDS
        leg = self._call.add(self._s.client.channel(leg_id), is_a=False)
        b = PaidLeg(leg, rate, account.book_id, talk_s)
        return Connection(self._s, self._call, self._a, b, request.id)

    def _announce_duration(self, talk_s: int) -> None:
        if self._options.announce_duration == "off":
            return
        length = self._speech.duration(talk_s, self._options.announce_duration)
        self._dialog.say(self._prompts.say(Prompt.MAXIMUM_DURATION_IS) + length)

    def _caller_id_b(self) -> str:
        return self._options.caller_id_b or self._request.leg_a_number

    def _talk(self, connection: Connection) -> None:
        self.connected += 1
        self._s.stores.calls.leg_answered(connection.b.leg.id, connection.b.leg.answered_at_us or 0)
        try:
            connection.talk()
        finally:
            connection.end()
        if connection.ran_out:
            at_limit = connection.b.funded_s >= self._options.talk_limit_s
            self._dialog.tell(self._prompts.say(Prompt.LIMIT_REACHED if at_limit else Prompt.CREDIT_USED_UP))
