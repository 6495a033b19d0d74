"""Turns web requests into orders of the engine. Used by pages and API."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.kinds import Kind
from stasis_callback.core.limits import Limit
from stasis_callback.core.numbering import kind_of, known_region, read_number
from stasis_callback.core.opening import Appointment, appointment, on_the_clock
from stasis_callback.core.requests import Link
from stasis_callback.core.web import WebOptions
from stasis_callback.core.words import Refusal
from stasis_callback.crashpoint import crashpoint
from stasis_callback.engine.admission.orders import Order, Orders
from stasis_callback.store.intake.web_instances import WebInstanceView
from stasis_callback.store.stores import Stores
from stasis_callback.web.signing import Signer

FORM_VERSION = "1"
FIELDS = ("account", "password", "first_number", "second_number", "call_at", "country")
"""The names in a form and in the API. They stay as they are as long as the version does."""
FIELD_LIMIT = 64

FIELD_OF: Mapping[Refusal, str] = {
    Refusal.BAD_CALLBACK_NUMBER: "first_number",
    Refusal.OWN_NUMBER: "first_number",
    Refusal.EMERGENCY_NUMBER: "first_number",
    Refusal.DESTINATION_NOT_IN_TARIFF: "first_number",
    Refusal.OPTED_OUT: "first_number",
    Refusal.BAD_DESTINATION: "second_number",
    Refusal.SAME_NUMBER: "second_number",
    Refusal.OWN_DESTINATION: "second_number",
    Refusal.EMERGENCY_DESTINATION: "second_number",
    Refusal.DESTINATION_NOT_ALLOWED: "second_number",
    Refusal.WRONG_LOGIN: "account",
    Refusal.ACCOUNT_BLOCKED: "account",
    Refusal.ACCOUNT_EXPIRED: "account",
    **dict.fromkeys(
        (
            Refusal.NO_FUNDS,
            Refusal.DAILY_LIMIT,
            Refusal.LINK_USED_UP,
            Refusal.SET_ASIDE,
            Refusal.NEVER_CALLED,
            Refusal.LOCKED_OUT,
            Refusal.TOO_MANY_REQUESTS,
            Refusal.REPEATED,
            Refusal.IN_PROGRESS,
            Refusal.QUEUE_FULL,
            # Of missed calls only: no form is answered with one of these.
            Refusal.UNKNOWN_ACCESS_NUMBER,
            Refusal.NO_ANI,
            Refusal.BAD_ANI,
            Refusal.UNKNOWN_ACCOUNT,
            Refusal.NOT_ATTESTED,
            Refusal.NO_ASSOCIATED_NUMBER,
            Refusal.NO_INTERNAL_ACCOUNT,
            Refusal.FAILED,
        ),
        "",
    ),
}
"""The field that each reason of the engine belongs to; "" for those that belong to the whole form."""
_WRONG_INPUT = 422
STATUS_OF: Mapping[Refusal, int] = {
    Refusal.BAD_CALLBACK_NUMBER: _WRONG_INPUT,
    Refusal.BAD_DESTINATION: _WRONG_INPUT,
    Refusal.SAME_NUMBER: _WRONG_INPUT,
    Refusal.OWN_NUMBER: _WRONG_INPUT,
    Refusal.EMERGENCY_NUMBER: _WRONG_INPUT,
    Refusal.EMERGENCY_DESTINATION: _WRONG_INPUT,
    Refusal.OWN_DESTINATION: _WRONG_INPUT,
    Refusal.DESTINATION_NOT_IN_TARIFF: _WRONG_INPUT,
    Refusal.DESTINATION_NOT_ALLOWED: _WRONG_INPUT,
    Refusal.WRONG_LOGIN: 403,
    Refusal.ACCOUNT_BLOCKED: 403,
    Refusal.ACCOUNT_EXPIRED: 403,
    Refusal.NO_FUNDS: 402,
    Refusal.DAILY_LIMIT: 402,
    Refusal.LINK_USED_UP: 403,
    Refusal.OPTED_OUT: 403,
    Refusal.SET_ASIDE: 403,
    Refusal.NEVER_CALLED: 403,
    Refusal.LOCKED_OUT: 429,
    Refusal.TOO_MANY_REQUESTS: 429,
    Refusal.REPEATED: 409,
    Refusal.IN_PROGRESS: 409,
    Refusal.QUEUE_FULL: 503,
    # Of missed calls only: no form is answered with one of these.
    Refusal.UNKNOWN_ACCESS_NUMBER: _WRONG_INPUT,
    Refusal.NO_ANI: _WRONG_INPUT,
    Refusal.BAD_ANI: _WRONG_INPUT,
    Refusal.UNKNOWN_ACCOUNT: _WRONG_INPUT,
    Refusal.NOT_ATTESTED: 403,
    Refusal.NO_ASSOCIATED_NUMBER: _WRONG_INPUT,
    Refusal.NO_INTERNAL_ACCOUNT: _WRONG_INPUT,
    Refusal.FAILED: 500,
}
"""The HTTP status of each reason; a problem that the form itself has found is wrong input too."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a request: a callback and the token of its status page, or problems by field ("" = of none)."""

    request_id: str = ""
    status_token: str = ""
    problems: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: int = 0
    opens: str = ""
    """When calls are made again, for people; "" for what has nothing to do with that."""

    @property
    def status(self) -> int:
        """The HTTP status that tells it to a program."""
        code = next(iter(self.problems.values()), "")
        if not code:
            return 201
        if code == "closed" and not self.problems.get("call_at"):
            return 503
        refusal = Refusal.of(code)
        return STATUS_OF[refusal] if refusal else _WRONG_INPUT


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as the limits count them.

    `source` is an address, or a program's customer; "" when a program does not say for whom it asks. `program` is the
    program, and `wrong_logins` is its limit for wrong logins of all its customers together.
    """

    source: str
    program: str = ""
    wrong_logins: Limit | None = None


def wanted_fields(instance: WebInstanceView) -> tuple[str, ...]:
    """The fields of an instance's form, in their order."""
    settings = instance.configuration.settings
    account = () if settings.type == "hosted" else ("account",)
    password = ("password",) if settings.asks_password else ()
    second = ("second_number",) if settings.type == "extended" else ()
    return (*account, *password, "first_number", *second)


def asks_time(instance: WebInstanceView) -> bool:
    """Whether its form has the field `call_at`, which may be left empty."""
    return instance.configuration.settings.call_me_at


class Desk:
    """Checks what was asked for and hands it to the engine."""

    def __init__(self, stores: Stores, orders: Orders, signer: Signer, clock: Clock) -> None:
        self.stores = stores
        self.signer = signer
        self.clock = clock
        self._orders = orders

    def find(self, name: str) -> WebInstanceView | None:
        """An instance that is switched on."""
        instance = self.stores.web_instances.find(name) if len(name) <= 32 else None
        return instance if instance and instance.enabled else None

    def ask(
        self,
        instance: WebInstanceView,
        values: Mapping[str, str],
        *,
        language: str,
        asker: Asker,
        key: str = "",
        any_account: bool = False,
        link: Link | None = None,
    ) -> Asked:
        """Ask for a callback. `values` are texts by field; `any_account` spares the account's password.

        The same `key` and instance are the same callback. The caller has already checked whether the requester may
        use a hosted instance.
        """
        known = self._made(instance, key)
        if known is not None:
            return known
        settings = instance.configuration.settings
        wanted = [name for name in wanted_fields(instance) if not (any_account and name == "password")]
        country = values.get("country", "")
        region = country if known_region(country) else instance.configuration.region
        numbers, problems = self._checked(wanted, values, region)
        when = appointment(settings, call_at := values.get("call_at", "").strip(), self.clock.now_us())
        late = self._late(settings, call_at, when)
        problems |= late.problems
        if problems:
            return replace(late, problems=problems)
        options = instance.configuration.call_options(language)
        hosted = settings.type == "hosted"
        answer = self._orders.admit(
            Order(
                key=_request_key(instance, key or secrets.token_hex(16)),
                refused_key=_request_key(instance, secrets.token_hex(16)),
                trigger="web",
                account=settings.internal_account if hosted else values["account"].strip(),
                password=values.get("password") if settings.asks_password and not any_account else None,
                number_a=numbers["first_number"],
                number_b=numbers.get("second_number", settings.second_number),
                trusted=hosted or any_account,
                shared=hosted,
                instance=instance.name,
                reference=values.get("reference", "")[:FIELD_LIMIT],
                source=asker.source,
                link=link,
                link_limit=Limit(settings.link_hourly, 3600),
                portal=asker.program,
                portal_logins=asker.wrong_logins,
                options=options | ({"callback_delay_s": str(when.delay_s)} if when.delay_s else {}),
                limits=instance.configuration.limits,
            )
        )
        crashpoint("web-decided")
        if answer.reason == Refusal.REPEATED and (known := self._made(instance, key)) is not None:
            return known  # by another process, beside this one
        if answer.reason:
            problem = {FIELD_OF[answer.reason]: self._worded(answer.reason, wanted)}
            return Asked(problems=problem, retry_after_s=answer.retry_after_s)
        return Asked(answer.request_id, self.status_token(instance, answer.request_id))

    def _late(self, settings: WebOptions, call_at: str, when: Appointment) -> Asked:
        """What speaks against the time of a callback, in answer to who asks."""
        if not when.trouble:
            return Asked()
        where = "" if when.trouble == "closed" and not call_at else "call_at"
        opens = when.opens_us
        return Asked(
            problems={where: when.trouble},
            retry_after_s=-(-(opens - self.clock.now_us()) // US_PER_S) if opens else 0,
            opens=on_the_clock(opens, settings.time_zone) if opens else "",
        )

    def _made(self, instance: WebInstanceView, key: str) -> Asked | None:
        """The callback that was made with this key."""
        made = self.stores.requests.with_key(_request_key(instance, key)) if key else None
        return Asked(made.id, self.status_token(instance, made.id)) if made else None

    def status_token(self, instance: WebInstanceView, request_id: str) -> str:
        """The token of a callback's status page, good from now on for as long as the instance says."""
        lifetime_us = instance.configuration.settings.link_lifetime_s * US_PER_S
        return self.signer.status_token(request_id, self.clock.now_us() + lifetime_us)

    @staticmethod
    def _worded(reason: Refusal, wanted: list[str]) -> str:
        return "wrong_account" if reason == Refusal.WRONG_LOGIN and "password" not in wanted else reason

    @staticmethod
    def _checked(
        wanted: list[str], values: Mapping[str, str], region: str
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Numbers as E.164 digits, and problems, by field."""
        numbers, problems = {}, {}
        for name in wanted:
            text = values.get(name, "")
            if not text.strip():
                problems[name] = "required"
            elif len(text) > FIELD_LIMIT:
                problems[name] = "too_long"
            elif name.endswith("_number"):
                digits = read_number(text, region)
                if digits is None or kind_of(digits) is Kind.IMPOSSIBLE:
                    problems[name] = (
                        "bad_number" if region or text.strip().startswith(("+", "00")) else "needs_country"
                    )
                else:
                    numbers[name] = digits
        return numbers, problems


def _request_key(instance: WebInstanceView, key: str) -> str:
    return f"web:{instance.name}:{key}"
