"""Payments told by a provider: a signed webhook tops up an account, once for each payment.

Signed by Standard Webhooks (standardwebhooks.com) with the secret of the hook. The provider's id of the payment, with
the name of the hook, is the key of the top-up: told twice, or again under another id of the message, it is paid once.
"""

from __future__ import annotations

from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Header, Path, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import AccountClosed, InvalidInput, InvariantBroken
from stasis_callback.core.money import format_number, parse_amount, require_payable
from stasis_callback.store.intake.payment_hooks import PaymentHookView
from stasis_callback.store.stores import Stores
from stasis_callback.web.api import NAME_PATTERN, PREFIX
from stasis_callback.web.bodies import AnyEvent, Body, described, invalid, not_genuine
from stasis_callback.web.money_api import ACCOUNT_PATTERN, AMOUNT_PATTERN, TOP_UP_PATTERN
from stasis_callback.web.problems import BODY, ApiError, errors
from stasis_callback.web.signing import Signer, is_signed
from stasis_callback.web.strict_json import NamedTwice, require_names_once

log = structlog.get_logger()

PAID = "payment.succeeded"
LOGGED_ID_LIMIT = 100
"""The most characters of a payment's id in the log: as many as one may have."""


class Payment(BaseModel):
    """A payment that has succeeded. What else the provider says of it is ignored."""

    model_config = ConfigDict(extra="ignore")
    id: Annotated[
        str,
        Field(
            pattern=TOP_UP_PATTERN,
            description="The provider's id of the payment: the same one tops up once.",
            examples=["pay_4711"],
        ),
    ]
    account: Annotated[str, Field(pattern=ACCOUNT_PATTERN, description="Account id or alias.")]
    amount: Annotated[
        str,
        Field(
            pattern=AMOUNT_PATTERN, description="Decimal, in whole units of the currency.", examples=["12.50"]
        ),
    ]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$", description="It must be the account's.")]


class PaymentEvent(BaseModel):
    """What a payment provider tells. Events of other types are answered with 200, and nothing is done."""

    model_config = ConfigDict(extra="ignore")
    type: Annotated[str, Field(description=f"`{PAID}`.")]
    data: Payment


class PaidBody(BaseModel):
    """What came of it. `ignored`: an event of another type. `repeated`: the payment had been credited before."""

    result: Literal["credited", "repeated", "ignored"]
    balance: Annotated[
        str | None, Field(description="Balance now; null where nothing is known of an account.")
    ]
    currency: str | None = None


Hook = Annotated[str, Path(pattern=NAME_PATTERN, description="Name of the payment hook.")]


class Payments:
    """The endpoint for payment providers."""

    def __init__(self, stores: Stores, signer: Signer, clock: Clock) -> None:
        self._stores = stores
        self._signer = signer
        self._clock = clock

    def router(self) -> APIRouter:
        """The router with the endpoint."""
        router = APIRouter(prefix=PREFIX)
        router.add_api_route(
            "/payments/{hook}",
            self._receive,
            methods=["POST"],
            tags=["money"],
            status_code=201,
            response_model=PaidBody,
            operation_id="receivePayment",
            summary="Tell of a payment, signed by Standard Webhooks",
            responses=errors(*BODY, 401, 404, 409, 422, 503)
            | {200: {"model": PaidBody, "description": "Nothing was credited now; see `result`."}},
            openapi_extra=described(PaymentEvent),
        )
        return router

    def _receive(
        self,
        hook: Hook,
        body: Body,
        response: Response,
        webhook_id: Annotated[str, Header(description="Id of the message.")] = "",
        webhook_timestamp: Annotated[str, Header(description="Seconds since the epoch, now.")] = "",
        webhook_signature: Annotated[str, Header(description="`v1,` and Base64; several by spaces.")] = "",
    ) -> PaidBody | Response:
        known = self._stores.payment_hooks.find(hook)
        # One that is not there is looked at like one that is: names of hooks are not to be found out.
        secret = self._signer.payment_secret(hook, known.turn if known else 0)
        now_s = self._clock.now_us() // US_PER_S
        genuine = is_signed(secret, webhook_id, webhook_timestamp, webhook_signature, body, now_s)
        if known is None or not genuine:
            log.warning("payment.not_genuine", hook=hook)
            raise not_genuine()
        try:
            require_names_once(body)
            event = AnyEvent.model_validate_json(body)
            if event.type != PAID:
                response.status_code = 200
                return PaidBody(result="ignored", balance=None)
            payment = PaymentEvent.model_validate_json(body).data
        except NamedTwice as error:
            log.error("payment.not_credited", hook=hook, payment="", reason="bad_json", fields=[])
            raise ApiError(400, "bad_json", error.msg) from None
        except ValidationError as error:
            return _unreadable(known, body, error)
        paid = self._credit(known, payment)
        response.status_code = 201 if paid.result == "credited" else 200
        return paid

    def _credit(self, hook: PaymentHookView, payment: Payment) -> PaidBody:
        account = self._stores.accounts.find(payment.account)
        if account is None:
            raise _refused(hook, payment, 404, "unknown_account")
        try:
            micros = parse_amount(payment.amount)
            if payment.currency != account.currency:
                raise InvalidInput(f"the account is in {account.currency}")
            require_payable(account.currency, micros)
            done = self._stores.accounts.top_up(
                account.number,
                micros,
                key=f"{hook.name}/{payment.id}",
                note=f"payment {payment.id}",
                operator=f"payment-hook:{hook.name}",
            )
        except AccountClosed as error:
            raise _refused(hook, payment, 409, "account_closed", str(error)) from None
        except InvalidInput as error:
            raise _refused(hook, payment, 422, "bad_amount", str(error)) from None
        except InvariantBroken:
            raise _refused(hook, payment, 409, "id_reused") from None
        result: Literal["credited", "repeated"] = "credited" if done else "repeated"
        log.info("payment.received", hook=hook.name, payment=payment.id, result=result)
        now = self._stores.accounts.get(account.id)
        return PaidBody(
            result=result, balance=format_number(now.balance_micros, now.currency), currency=now.currency
        )


class _WithId(BaseModel):
    """The id of a payment, as far as it can be read."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)
    id: str = ""


class _NamedEvent(BaseModel):
    """An event of which only the id of the payment matters."""

    model_config = ConfigDict(extra="ignore")
    data: _WithId


def _unreadable(hook: PaymentHookView, body: bytes, error: ValidationError) -> Response:
    """The answer to a genuine body that is not as described; somebody may have paid, so an operator looks at it."""
    try:
        payment = _NamedEvent.model_validate_json(body).data.id[:LOGGED_ID_LIMIT]
    except ValidationError:
        payment = ""
    wrong = error.errors(include_url=False, include_context=False, include_input=False)
    reason = "bad_json" if any(one["type"] == "json_invalid" for one in wrong) else "invalid_fields"
    fields = [str(one["loc"][-1]) for one in wrong if one["loc"]]
    shown = "".join(char if char.isprintable() else "?" for char in payment)
    log.error("payment.not_credited", hook=hook.name, payment=shown, reason=reason, fields=fields)
    return invalid(error)


def _refused(hook: PaymentHookView, payment: Payment, status: int, code: str, detail: str = "") -> ApiError:
    """The error of a genuine payment that cannot be credited: somebody has paid, so an operator must look at it."""
    log.error("payment.not_credited", hook=hook.name, payment=payment.id, reason=code)
    return ApiError(status, code, detail)
