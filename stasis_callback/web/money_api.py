"""The JSON API for accounts and money: accounts, top-ups, vouchers, call records, rates."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from stasis_callback.clock import US_PER_S, Clock, iso
from stasis_callback.core.errors import AccountClosed, InvalidInput, InvariantBroken
from stasis_callback.core.money import (
    format_number,
    format_price,
    parse_amount,
    require_payable,
)
from stasis_callback.core.words import Refusal
from stasis_callback.engine.admission.checks import selling_rate
from stasis_callback.engine.redeeming import redeem
from stasis_callback.ivr.prompts import require_language
from stasis_callback.resources import sounds_dir
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.accounts.pages import AccountPages
from stasis_callback.store.calls.asked import XdrPages
from stasis_callback.store.calls.legs import XdrView
from stasis_callback.store.intake.api_keys import ApiKeyView
from stasis_callback.store.rates.book import RateView
from stasis_callback.store.rates.pages import RatePages
from stasis_callback.store.stores import Stores
from stasis_callback.web.api import DIGITS_PATTERN, PREFIX, QueryText, Text
from stasis_callback.web.keys import AccountsKey, ManageKey, RatesKey, TopUpKey, VouchersKey, XdrsKey
from stasis_callback.web.paging import After, PageLimit, Since, Until, cursor, micros_of, read_cursor
from stasis_callback.web.problems import ANY, BODY, ApiError, errors
from stasis_callback.web.strict_json import StrictRoute

AMOUNT_PATTERN = r"^[0-9]{1,10}(\.[0-9]{1,6})?$"
ACCOUNT_PATTERN = r"^[A-Za-z0-9._@-]{1,64}$"
TOP_UP_PATTERN = r"^[!-~]{1,100}$"
TARIFF_LIMIT = 64

AccountId = Annotated[str, Path(pattern=ACCOUNT_PATTERN, description="Account id or alias.")]
NewId = Annotated[str, Field(pattern=ACCOUNT_PATTERN, examples=["6192345678"])]
Amount = Annotated[str, Field(description="Amount in the account's currency.", examples=["12.50"])]
_CLOSED = ConfigDict(extra="forbid")


class AccountBody(BaseModel):
    """An account. Amounts are those of the customer for a `subordinate` account."""

    id: str
    customer: str
    product: str
    kind: Literal["debit", "credit", "subordinate"]
    status: Annotated[str, Field(description="active, blocked or closed.")]
    callback_number: Annotated[str, Field(description="E.164 digits; empty: the number that calls.")]
    language: str
    expires_at: Annotated[str | None, Field(description="Time, ISO 8601, UTC; null: never.")]
    currency: str
    balance: Amount
    held: Annotated[str, Field(description="Reserved for live calls.")]
    credit_limit: str
    available: Annotated[str, Field(description="What can be spent now.")]


class AccountListBody(BaseModel):
    """Accounts by id."""

    accounts: list[AccountBody]
    next: Annotated[str | None, Field(description="Value of `after` for the next page; null on the last.")]


class NewAccountBody(BaseModel):
    """An account to open, with nothing in it."""

    model_config = _CLOSED
    id: NewId
    customer: Text
    product: Text
    callback_number: Annotated[str, Field(pattern=r"^[0-9]{0,15}$")] = ""


class AccountChangeBody(BaseModel):
    """What is to change; all or nothing."""

    model_config = _CLOSED
    status: Literal["active", "blocked"] | None = None
    callback_number: Annotated[str | None, Field(pattern=r"^[0-9]{0,15}$")] = None
    language: Annotated[str | None, Field(pattern=r"^([a-z]{2})?$")] = None
    password: Annotated[Text | None, Field(description="New service password.")] = None


class TopUpBody(BaseModel):
    """Money that was paid for an account."""

    model_config = _CLOSED
    id: Annotated[
        str,
        Field(
            pattern=TOP_UP_PATTERN,
            description="Your id of the payment, for example the payment provider's. The same id tops up once.",
            examples=["pay_4711"],
        ),
    ]
    account: Annotated[str, Field(pattern=ACCOUNT_PATTERN, description="Account id or alias.")]
    amount: Annotated[str, Field(pattern=AMOUNT_PATTERN, examples=["12.50"])]
    currency: Annotated[
        str | None, Field(pattern="^[A-Z]{3}$", description="If given, it must be the account's.")
    ] = None
    note: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""


class ToppedUpBody(BaseModel):
    """A top-up. `repeated`: it had been made before, and was not made again."""

    id: str
    account: str
    amount: Amount
    currency: str
    balance: Annotated[str, Field(description="Balance now.")]
    repeated: bool


class RedeemBody(BaseModel):
    """A voucher to redeem."""

    model_config = _CLOSED
    code: Text
    account: Annotated[str, Field(pattern=ACCOUNT_PATTERN, description="Account id or alias.")]


class RedeemedBody(BaseModel):
    """A redeemed voucher. `repeated`: it had been redeemed for this account before."""

    account: str
    batch: str
    amount: Amount
    currency: str
    balance: Annotated[str, Field(description="Balance now.")]
    repeated: bool


class BatchBody(BaseModel):
    """A batch of vouchers."""

    batch: str
    amount: str
    currency: str
    new: int
    redeemed: int
    blocked: int


class BatchListBody(BaseModel):
    """All batches of vouchers."""

    batches: list[BatchBody]


class XdrBody(BaseModel):
    """The call record of a leg."""

    id: str
    callback: Annotated[str, Field(description="Id of the callback.")]
    side: Literal["a", "b"]
    account: str
    number: str
    prefix: str
    outcome: str
    cause: Annotated[int, Field(description="Q.850 cause.")]
    dialed_at: str
    answered_at: str | None
    ended_at: str
    duration_s: Annotated[float, Field(description="Answer to hang-up.")]
    charged_s: int
    amount: Annotated[str, Field(description="What the account paid.")]
    currency: str


class XdrListBody(BaseModel):
    """Call records, newest first."""

    xdrs: list[XdrBody]
    next: Annotated[str | None, Field(description="Value of `after` for the next page; null on the last.")]


class TariffBody(BaseModel):
    """A tariff."""

    name: str
    currency: str


class TariffListBody(BaseModel):
    """All tariffs."""

    tariffs: list[TariffBody]


class RateBody(BaseModel):
    """The rate of a prefix; prices per minute."""

    prefix: str
    description: str
    connect_fee: str
    first_interval_s: int
    first_price: str
    next_interval_s: int
    next_price: str
    forbidden: bool


class RateListBody(BaseModel):
    """Rates by prefix."""

    tariff: str
    currency: str
    rates: list[RateBody]
    next: Annotated[str | None, Field(description="Value of `after` for the next page; null on the last.")]


class MoneyApi:
    """The endpoints for accounts and money."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._accounts = AccountPages(stores.database)
        self._xdrs = XdrPages(stores.database)
        self._rates = RatePages(stores.database, clock)

    def router(self) -> APIRouter:
        """The router with all endpoints."""
        router = APIRouter(prefix=PREFIX, route_class=StrictRoute)
        add = router.add_api_route
        add("/accounts", self._list_accounts, methods=["GET"], tags=["accounts"],
            response_model=AccountListBody, operation_id="listAccounts", summary="List accounts",
            responses=errors(*ANY))  # fmt: skip
        add("/accounts", self._open_account, methods=["POST"], tags=["accounts"], status_code=201,
            response_model=AccountBody, operation_id="openAccount", summary="Open an account",
            responses=errors(*BODY, *ANY, 409))  # fmt: skip
        add("/accounts/{account_id}", self._show_account, methods=["GET"], tags=["accounts"],
            response_model=AccountBody, operation_id="getAccount", summary="Show an account and its balance",
            responses=errors(*ANY, 404))  # fmt: skip
        add("/accounts/{account_id}", self._change_account, methods=["PATCH"], tags=["accounts"],
            response_model=AccountBody, operation_id="changeAccount", summary="Change an account",
            responses=errors(*BODY, *ANY, 404, 409))  # fmt: skip
        add("/top-ups", self._top_up, methods=["POST"], tags=["money"], status_code=201,
            response_model=ToppedUpBody, operation_id="topUp", summary="Top up an account, once for each id",
            responses=errors(*BODY, *ANY, 404, 409)
            | {200: {"model": ToppedUpBody, "description": "It had been made before."}})  # fmt: skip
        add("/vouchers", self._list_batches, methods=["GET"], tags=["money"],
            response_model=BatchListBody, operation_id="listVouchers", summary="List batches of vouchers",
            responses=errors(*ANY))  # fmt: skip
        add("/vouchers/redeem", self._redeem, methods=["POST"], tags=["money"],
            response_model=RedeemedBody, operation_id="redeemVoucher", summary="Redeem a voucher",
            responses=errors(*BODY, *ANY, 404, 409))  # fmt: skip
        add("/xdrs", self._list_xdrs, methods=["GET"], tags=["call records"],
            response_model=XdrListBody, operation_id="listXdrs", summary="List call records",
            responses=errors(*ANY))  # fmt: skip
        add("/tariffs", self._list_tariffs, methods=["GET"], tags=["rates"],
            response_model=TariffListBody, operation_id="listTariffs", summary="List tariffs",
            responses=errors(*ANY))  # fmt: skip
        add("/tariffs/{tariff}/rates", self._list_rates, methods=["GET"], tags=["rates"],
            response_model=RateListBody, operation_id="listRates", summary="List the rates of a tariff",
            responses=errors(*ANY, 404))  # fmt: skip
        return router

    # --- accounts ----------------------------------------------------------------------------------------------

    def _list_accounts(
        self,
        key: AccountsKey,
        customer: QueryText = None,
        product: QueryText = None,
        status: Literal["active", "blocked", "closed"] | None = None,
        limit: PageLimit = 50,
        after: After = None,
    ) -> AccountListBody:
        place = read_cursor(after)
        found = self._accounts.page(
            customer=customer or "",
            product=product or "",
            status=status or "",
            after=place[1] if place else "",
            limit=limit + 1,
        )
        more = cursor(0, found[limit - 1].number) if len(found) > limit else None
        return AccountListBody(accounts=[_account(view) for view in found[:limit]], next=more)

    def _show_account(self, account_id: AccountId, key: AccountsKey) -> AccountBody:
        return _account(self._found(account_id))

    def _open_account(self, body: NewAccountBody, key: ManageKey) -> AccountBody:
        def once() -> AccountView:
            self._stores.trail.one_by_one()
            known = self._stores.accounts.find(body.id)
            if not self._stores.database.repeated(f"opened:{body.id}") and known is not None:
                raise ApiError(409, "account_exists")
            opened = self._stores.accounts.add(
                body.id, customer=body.customer, product=body.product, callback_number=body.callback_number
            )
            self._noted(key, opened, {} if known is None else _audited(known), _audited(opened))
            return opened

        try:
            return _account(self._stores.database.unit(once))
        except InvalidInput as error:
            raise ApiError(422, "invalid_input", str(error)) from None

    def _change_account(self, account_id: AccountId, body: AccountChangeBody, key: ManageKey) -> AccountBody:
        account = self._usable(account_id)
        try:
            if body.language:
                require_language(sounds_dir(), body.language)
            return _account(self._stores.database.unit(lambda: self._changed(account, body, key)))
        except InvalidInput as error:
            raise ApiError(422, "invalid_input", str(error)) from None

    def _changed(self, account: AccountView, body: AccountChangeBody, key: ApiKeyView) -> AccountView:
        self._stores.trail.one_by_one()
        before = self._stores.accounts.get(account.id)
        after = self._stores.accounts.change(account.number, **body.model_dump())
        password = {} if body.password is None else {"service password": "changed"}
        self._noted(key, after, _audited(before), _audited(after) | password)
        return after

    def _noted(
        self, key: ApiKeyView, account: AccountView, before: dict[str, object], after: dict[str, object]
    ) -> None:
        """Write a change into the audit log, within its transaction."""
        self._stores.trail.note(f"api:{key.name}", "account", account.number, before, after)

    def _found(self, account_id: str) -> AccountView:
        account = self._stores.accounts.find(account_id)
        if account is None:
            raise ApiError(404, "unknown_account")
        return account

    def _usable(self, account_id: str) -> AccountView:
        account = self._found(account_id)
        if account.status == "closed":
            raise ApiError(409, "account_closed")
        return account

    # --- money -------------------------------------------------------------------------------------------------

    def _top_up(self, body: TopUpBody, key: TopUpKey, response: Response) -> ToppedUpBody:
        account = self._found(body.account)
        try:
            micros = parse_amount(body.amount)
            require_payable(account.currency, micros)
            if body.currency not in (None, account.currency):
                raise InvalidInput(f"the account is in {account.currency}")
            done = self._stores.accounts.top_up(
                account.number, micros, key=body.id, note=body.note, operator=f"api:{key.name}"
            )
        except AccountClosed as error:
            raise ApiError(409, "account_closed", str(error)) from None
        except InvalidInput as error:
            raise ApiError(422, "bad_amount", str(error)) from None
        except InvariantBroken:
            raise ApiError(409, "id_reused") from None
        response.status_code = 201 if done else 200
        now = self._stores.accounts.get(account.id)
        return ToppedUpBody(
            id=body.id,
            account=now.number,
            amount=format_number(micros, now.currency),
            currency=now.currency,
            balance=format_number(now.balance_micros, now.currency),
            repeated=not done,
        )

    def _redeem(self, body: RedeemBody, key: VouchersKey) -> RedeemedBody:
        account = self._usable(body.account)
        counter = f"voucher:{key.name}"
        done = redeem(
            self._stores,
            account,
            body.code,
            key.settings.limit_logins,
            counter=counter,
            operator=f"api:{key.name}",
        )
        if done.reason is Refusal.LOCKED_OUT:
            raise ApiError(429, "locked_out", headers={"Retry-After": str(done.retry_after_s)})
        if done.voucher is None:
            raise ApiError(422, "bad_voucher")
        voucher, now = done.voucher, done.account
        return RedeemedBody(
            account=now.number,
            batch=voucher.batch,
            amount=format_number(voucher.amount_micros, voucher.currency),
            currency=voucher.currency,
            balance=format_number(now.balance_micros, now.currency),
            repeated=done.repeated,
        )

    def _list_batches(self, key: VouchersKey) -> BatchListBody:
        rows = self._stores.vouchers.batches()
        return BatchListBody(
            batches=[
                BatchBody.model_validate(
                    row | {"amount": format_number(int(str(row["amount_micros"])), str(row["currency"]))}
                )
                for row in rows
            ]
        )

    # --- call records and rates --------------------------------------------------------------------------------

    def _list_xdrs(
        self,
        key: XdrsKey,
        account: QueryText = None,
        callback: Annotated[str | None, Query(pattern="^[0-9a-f]{16}$", description="Callback id.")] = None,
        since: Since = None,
        until: Until = None,
        limit: PageLimit = 50,
        after: After = None,
    ) -> XdrListBody:
        place = read_cursor(after)
        found = self._xdrs.page(
            account=account or "",
            request_id=callback or "",
            since_us=micros_of(since),
            until_us=micros_of(until),
            before=place[0] if place else None,
            limit=limit + 1,
        )
        more = cursor(found[limit - 1][0]) if len(found) > limit else None
        return XdrListBody(xdrs=[_xdr(view) for _, view in found[:limit]], next=more)

    def _list_tariffs(self, key: RatesKey) -> TariffListBody:
        return TariffListBody(tariffs=[TariffBody.model_validate(row) for row in self._stores.tariffs.all()])

    def _list_rates(
        self,
        tariff: Annotated[
            str, Path(min_length=1, max_length=TARIFF_LIMIT, description="Name of the tariff.")
        ],
        key: RatesKey,
        prefix: Annotated[
            str | None, Query(pattern="^[0-9]{1,15}$", description="Only prefixes that begin with it.")
        ] = None,
        number: Annotated[
            str | None,
            Query(
                pattern=DIGITS_PATTERN,
                description="Only the rate for calls to this number, E.164 digits; none if it is not called.",
            ),
        ] = None,
        limit: PageLimit = 50,
        after: After = None,
    ) -> RateListBody:
        place = read_cursor(after)
        try:
            which = self._stores.tariffs.named(tariff)
        except InvalidInput:
            raise ApiError(404, "unknown_tariff") from None
        if number is None:
            last = place[1] if place else ""
            rates = self._rates.page(which.name, prefix=prefix or "", after=last, limit=limit + 1)
        else:
            sold = selling_rate(self._stores, which.id, number)
            rates = [sold] if sold else []
        more = cursor(0, rates[limit - 1].rate.prefix) if len(rates) > limit else None
        shown = [_rate(view, which.currency) for view in rates[:limit]]
        return RateListBody(tariff=which.name, currency=which.currency, rates=shown, next=more)


def _account(view: AccountView) -> AccountBody:
    return AccountBody(
        id=view.number,
        customer=view.customer,
        product=view.product,
        kind=view.kind,
        status=view.status,
        callback_number=view.callback_number,
        language=view.language,
        expires_at=iso(view.expires_at_us) if view.expires_at_us is not None else None,
        currency=view.currency,
        balance=format_number(view.balance_micros, view.currency),
        held=format_number(view.held_micros, view.currency),
        credit_limit=format_number(view.credit_limit_micros, view.currency),
        available=format_number(view.available_micros, view.currency),
    )


def _audited(view: AccountView) -> dict[str, object]:
    """What the audit log says of an account: the fields that the API can set, by the names that commands use."""
    return {
        "number": view.number,
        "customer": view.customer,
        "product": view.product,
        "kind": view.kind,
        "status": view.status,
        "callback_number": view.callback_number,
        "language": view.language,
        "currency": view.currency,
    }


def _xdr(view: XdrView) -> XdrBody:
    return XdrBody(
        id=view.leg_id,
        callback=view.request_id,
        side=view.side,
        account=view.account,
        number=view.number,
        prefix=view.prefix,
        outcome=view.outcome,
        cause=view.cause,
        dialed_at=iso(view.dialed_at_us),
        answered_at=iso(view.answered_at_us) if view.answered_at_us is not None else None,
        ended_at=iso(view.ended_at_us),
        duration_s=view.duration_us / US_PER_S,
        charged_s=view.charged_s,
        amount=format_number(view.amount_micros - view.overrun_micros, view.currency),
        currency=view.currency,
    )


def _rate(view: RateView, currency: str) -> RateBody:
    rate = view.rate
    return RateBody(
        prefix=rate.prefix,
        description=view.description,
        connect_fee=format_number(rate.connect_fee_micros, currency),
        first_interval_s=rate.first_interval_s,
        first_price=format_price(rate.first_price_micros, rate.price_minutes),
        next_interval_s=rate.next_interval_s,
        next_price=format_price(rate.next_price_micros, rate.price_minutes),
        forbidden=rate.forbidden,
    )
