"""What becomes of a command that somebody wrote, in a mail or a message: a callback, or a voucher that is redeemed.

Whoever took the command has checked that its sender is genuine. The account is checked here: its secret is in the
command, and the sender may have to belong to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.mail_command import Command, MailCommand, VoucherCommand
from stasis_callback.core.opening import appointment
from stasis_callback.core.states import RequestState
from stasis_callback.core.words import Dropped, Refusal
from stasis_callback.core.written import WrittenConfiguration, WrittenOptions
from stasis_callback.engine.admission.logins import Credentials, Logins
from stasis_callback.engine.admission.orders import Order, Orders
from stasis_callback.engine.redeeming import redeem
from stasis_callback.store.calls.request_view import RequestView
from stasis_callback.store.stores import Stores


@dataclass(frozen=True, slots=True)
class Written:
    """A command and how it came."""

    trigger: Literal["email", "message"]
    instance: str
    configuration: WrittenConfiguration[WrittenOptions]
    command: Command
    sender: str
    """Who wrote it, for the limits."""
    belongs: bool
    """Whether the sender may write for the account; otherwise its secret counts as a wrong one."""
    key: str
    """The same key never makes a second callback."""

    @property
    def secrets(self) -> tuple[str | None, str | None]:
        """What it shows as a password and as a token; None for what the instance does not take."""
        # Of the wrong sender no password and no token: it looks and counts like a wrong one.
        secret = self.command.secret if self.belongs else ""
        taken = self.configuration.settings.credential
        return secret if taken != "token" else None, secret if taken != "password" else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a command: `reason` is "" when it was carried out."""

    reason: str = ""
    """One of Refusal or Dropped."""
    request_id: str = ""
    at_us: int | None = None
    """The chosen time of a callback; of what is `closed`, when calls are made again."""
    repeated: bool = False
    """It had come before."""


class WrittenDesk:
    """Carries commands out."""

    def __init__(self, stores: Stores, orders: Orders, clock: Clock) -> None:
        self._stores = stores
        self._orders = orders
        self._logins = Logins(stores, clock)
        self._clock = clock

    def decide(self, written: Written) -> Verdict:
        """Carry a command out, or refuse it; one that comes again gets what was decided."""
        if isinstance(written.command, VoucherCommand):
            return self._redeem(written, written.command)
        return self._call(written, written.command)

    def language(self, written: Written, verdict: Verdict) -> str:
        """The account's language, for who has proven to know its password; else the instance's."""
        account = None if verdict.reason else self._stores.accounts.find(written.command.account)
        return (account.language if account else "") or written.configuration.language

    # --- callbacks ---------------------------------------------------------------------------------------------

    def _call(self, written: Written, command: MailCommand) -> Verdict:
        known = self._stores.requests.with_key(written.key)
        if known is not None:
            return _known(known, command)
        configuration, settings = written.configuration, written.configuration.settings
        when = appointment(settings, command.at, self._clock.now_us())
        if when.trouble:
            return Verdict(Dropped.of(when.trouble) or Dropped.CLOSED, at_us=when.opens_us)
        password, token = written.secrets
        delay = {"callback_delay_s": str(when.delay_s)} if when.delay_s else {}
        answer = self._orders.admit(
            Order(
                key=written.key,
                trigger=written.trigger,
                account=command.account,
                password=password,
                token=token,
                number_a=command.number_a,
                number_b=command.number_b,
                instance=written.instance,
                webhooks=settings.webhooks,
                source=written.sender,
                options=configuration.call_options() | delay,
                limits=configuration.limits,
            )
        )
        # Beside this one, the same may have been accepted meanwhile; its token is used up then.
        made = self._stores.requests.with_key(written.key) if answer.reason else None
        if made is not None and made.state is not RequestState.REFUSED:
            return _known(made, command)
        at_us = self._clock.now_us() + when.delay_s * US_PER_S if command.at else None
        return Verdict(answer.reason, answer.request_id, None if answer.reason else at_us)

    # --- vouchers ----------------------------------------------------------------------------------------------

    def _redeem(self, written: Written, command: VoucherCommand) -> Verdict:
        """Redeem a voucher. One that comes again finds it redeemed."""
        stores, limits, sender = self._stores, written.configuration.limits, written.sender
        counter = f"request:{written.trigger}:{written.instance}:source:{sender}"
        if not stores.limits.take(counter, limits.limit_source):
            return Verdict(Refusal.TOO_MANY_REQUESTS)
        password, token = written.secrets
        known = self._logins.check(
            Credentials(written.trigger, command.account, password, token, source=sender, limits=limits)
        )
        token_id = known.token_id
        if known.account is None:
            # When it comes again, its token is used up.
            done = known.reason == Refusal.WRONG_LOGIN and token is not None
            done = done and stores.vouchers.redeemed(command.code, command.account) is not None
            return Verdict(repeated=True) if done else Verdict(known.reason or Refusal.WRONG_LOGIN)
        redeemed = redeem(
            stores,
            known.account,
            command.code,
            limits.limit_logins,
            within=lambda: token_id is None or stores.email_senders.use(token_id, written.key),
        )
        return Verdict(redeemed.reason)


def _known(request: RequestView, command: MailCommand) -> Verdict:
    """What was decided when it came before."""
    if request.state is RequestState.REFUSED:
        return Verdict(request.outcome, repeated=True)
    at_us = request.created_at_us + int(request.options.callback_delay_s * US_PER_S)
    return Verdict(request_id=request.id, at_us=at_us if command.at else None, repeated=True)
