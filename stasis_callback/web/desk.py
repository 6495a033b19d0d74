"""The front desk: what was asked for over the web becomes an order of the engine. Pages and API share it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.engine.admission.orders import Order, Orders
from stasis_callback.store.intake.web_instances import WebInstanceView
from stasis_callback.store.stores import Stores
from stasis_callback.web.numbers import to_e164
from stasis_callback.web.signing import Signer

FORM_VERSION = "1"
FIELDS = ("account", "password", "first_number", "second_number")
"""The names in a form and in the API. They stay as they are as long as the version does."""
FIELD_LIMIT = 64

FIELD_OF = {
    "bad_callback_number": "first_number",
    "own_number": "first_number",
    "destination_not_in_tariff": "first_number",
    "bad_destination": "second_number",
    "same_number": "second_number",
    "own_destination": "second_number",
    "destination_not_allowed": "second_number",
    "wrong_login": "account",
    "account_blocked": "account",
    "account_expired": "account",
}
"""The field a reason of the engine belongs to."""
STATUS_OF = {
    "wrong_login": 403,
    "account_blocked": 403,
    "account_expired": 403,
    "no_funds": 402,
    "daily_limit": 402,
    "locked_out": 429,
    "too_many_requests": 429,
    "repeated": 409,
    "in_progress": 409,
    "queue_full": 503,
}
"""HTTP statuses of reasons; all others are wrong input, 422."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a request: a callback and the token of its status page, or problems by field ("" = of none)."""

    request_id: str = ""
    status_token: str = ""
    problems: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: int = 0

    @property
    def status(self) -> int:
        """The HTTP status that tells it to a program."""
        code = next(iter(self.problems.values()), "")
        return STATUS_OF.get(code, 422) if code else 201


def wanted_fields(instance: WebInstanceView) -> tuple[str, ...]:
    """The fields of an instance's form, in their order."""
    settings = instance.configuration.settings
    account = () if settings.type == "hosted" else ("account",)
    password = ("password",) if settings.asks_password else ()
    second = ("second_number",) if settings.type == "extended" else ()
    return (*account, *password, "first_number", *second)


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
        source: str,
        key: str = "",
        any_account: bool = False,
    ) -> Asked:
        """Ask for a callback. `values` are texts by field; `any_account` spares the account's password.

        Whether whoever asks may use a hosted instance has been decided before.
        """
        settings = instance.configuration.settings
        wanted = [name for name in wanted_fields(instance) if not (any_account and name == "password")]
        numbers, problems = self._checked(wanted, values, settings.region)
        if problems:
            return Asked(problems=problems)
        hosted = settings.type == "hosted"
        answer = self._orders.admit(
            Order(
                key=f"web:{instance.name}:{key or secrets.token_hex(16)}",
                trigger="web",
                account=settings.internal_account if hosted else values["account"].strip(),
                password=values.get("password") if settings.asks_password and not any_account else None,
                number_a=numbers["first_number"],
                number_b=numbers.get("second_number", settings.second_number),
                trusted=hosted or any_account,
                shared=hosted,
                instance=instance.name,
                source=source,
                options=instance.configuration.call_options(language),
                limits=instance.configuration.limits,
            )
        )
        if answer.reason:
            problem = {FIELD_OF.get(answer.reason, ""): self._worded(answer.reason, wanted)}
            return Asked(problems=problem, retry_after_s=answer.retry_after_s)
        return Asked(answer.request_id, self.status_token(instance, answer.request_id))

    def status_token(self, instance: WebInstanceView, request_id: str) -> str:
        """The token of a callback's status page, good from now on for as long as the instance says."""
        lifetime_us = instance.configuration.settings.link_lifetime_s * US_PER_S
        return self.signer.status_token(request_id, self.clock.now_us() + lifetime_us)

    @staticmethod
    def _worded(reason: str, wanted: list[str]) -> str:
        return "wrong_account" if reason == "wrong_login" and "password" not in wanted else reason

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
                digits = to_e164(text, region)
                if digits is None:
                    problems[name] = (
                        "bad_number" if region or text.strip().startswith(("+", "00")) else "needs_country"
                    )
                else:
                    numbers[name] = digits
        return numbers, problems
