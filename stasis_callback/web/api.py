"""The JSON API for callbacks: request, show, cancel and list them. Described by OpenAPI 3.1."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from stasis_callback.clock import iso
from stasis_callback.core.money import format_number
from stasis_callback.core.progress import Step
from stasis_callback.core.states import RequestState
from stasis_callback.settings import WebSettings
from stasis_callback.store.calls.asked import AskedCallbacks, Which
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.intake.api_keys import ApiKeyView
from stasis_callback.store.stores import Stores
from stasis_callback.web.desk import FIELD_LIMIT, Asked, Desk
from stasis_callback.web.idempotency import StoredReply, once
from stasis_callback.web.keys import CancelKey, CreateKey, ListKey, StatusKey
from stasis_callback.web.pages import problem_body
from stasis_callback.web.paging import After, PageLimit, Since, Until, cursor, micros_of, read_cursor
from stasis_callback.web.problems import ANY, BODY, ApiError, answer, errors
from stasis_callback.web.status import Progress, progress_of, seconds
from stasis_callback.web.strict_json import StrictRoute
from stasis_callback.web.visitors import program

PREFIX = "/api/v1"
NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,31}$"
TEXT_PATTERN = r"^[^\x00-\x1f\x7f]*$"
DIGITS_PATTERN = r"^[0-9]{3,15}$"

Text = Annotated[str, Field(min_length=1, max_length=FIELD_LIMIT, pattern=TEXT_PATTERN)]
QueryText = Annotated[str | None, Query(min_length=1, max_length=FIELD_LIMIT, pattern=TEXT_PATTERN)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        max_length=200,
        pattern=r"^[!-~]+$",
        description="Repeated requests with the same key and body make only one callback.",
        examples=["order-4711"],
    ),
]


class CallbackRequestBody(BaseModel):
    """A request for a callback. Required fields depend on the instance; other fields are ignored."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "instance": "calls",
                    "account": "6192345678",
                    "password": "1ak45",
                    "first_number": "+6581433653",
                    "second_number": "+420212345678",
                    "reference": "ticket-4711",
                }
            ]
        },
    )

    instance: Annotated[str, Field(pattern=NAME_PATTERN, description="Web instance.")]
    first_number: Annotated[Text, Field(description="Number called first, national or international.")]
    second_number: Annotated[Text | None, Field(description="Number called second (extended).")] = None
    account: Annotated[Text | None, Field(description="Account id that pays (simple, extended).")] = None
    password: Annotated[
        Text | None,
        Field(description="Service password of the account; not needed with the scope any-account."),
    ] = None
    call_at: Annotated[
        Text | None,
        Field(
            description="When to call, within the next 24 hours and the opening hours: `17:30` on the clock of the "
            "instance, or ISO 8601 with a zone. Only with the option call_me_at.",
            examples=["17:30"],
        ),
    ] = None
    end_user: Annotated[
        Text | None,
        Field(
            description="Your own id of the person who asks: limits for one source then count each of them alone."
        ),
    ] = None
    reference: Annotated[
        Text | None, Field(description="Your own name for this callback, in all answers and webhooks.")
    ] = None
    language: Annotated[
        str | None, Field(pattern="^[a-z]{2}$", description="Language of the instance; default: its first.")
    ] = None


class StepBody(BaseModel):
    """A step of a callback."""

    step: Step
    at: Annotated[str, Field(description="Time, ISO 8601, UTC.")]


class CostBody(BaseModel):
    """The cost of both legs."""

    amount: Annotated[str, Field(description="Amount, for example 0.25.")]
    currency: str


class CallbackState(BaseModel):
    """The current state of a callback."""

    id: str
    trigger: Annotated[
        str, Field(description="What asked for it: web, email, message, cli; ani, dnis, pin: a missed call.")
    ]
    instance: Annotated[str, Field(description="Web, e-mail or message instance; empty for a missed call.")]
    reference: Annotated[str, Field(description="Your own name for it; empty: none.")]
    step: Annotated[Step, Field(description="Last step.")]
    over: Annotated[bool, Field(description="Whether the callback has ended.")]
    reason: Annotated[str, Field(description="Reason of the ending or refusal; empty before.")]
    first_number: Annotated[str, Field(description="E.164 digits.")]
    second_number: Annotated[str, Field(description="E.164 digits; empty if it is dialled during the call.")]
    created_at: str
    call_at: Annotated[str | None, Field(description="The time it is called at; null: at once.")]
    steps: list[StepBody]
    talk_s: Annotated[int, Field(description="Seconds for which the parties have been connected.")]
    cost: Annotated[
        CostBody | None, Field(description="Cost, after the end and if enabled for the instance.")
    ]


class CallbackBody(CallbackState):
    """The current state of a callback, for who asked for it."""

    status_url: Annotated[str, Field(description="URL of the status page for the user.")]


class ListBody(BaseModel):
    """Callbacks, newest first."""

    callbacks: list[CallbackBody]
    next: Annotated[
        str | None, Field(description="Value of `after` for the next page; null on the last page.")
    ]


CallbackId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="Callback id.")]


class Api:
    """The endpoints. `end_call` ends a queued or live callback; False if the callback has already ended."""

    def __init__(self, desk: Desk, settings: WebSettings, end_call: Callable[[str], bool]) -> None:
        self._desk = desk
        self._stores: Stores = desk.stores
        self._settings = settings
        self._end_call = end_call
        self._asked = AskedCallbacks(desk.stores.database)

    def router(self) -> APIRouter:
        """The router with all endpoints."""
        router = APIRouter(prefix=PREFIX, tags=["callbacks"], route_class=StrictRoute)
        add = router.add_api_route
        add("/callbacks", self._create, methods=["POST"], status_code=201,
            response_model=CallbackBody, operation_id="createCallback", summary="Request a callback",
            responses=errors(*BODY, *ANY, 402, 404, 409)
            | {201: {"headers": {"Location": {"schema": {"type": "string"}}}}})  # fmt: skip
        add("/callbacks", self._list, methods=["GET"], response_model=ListBody,
            operation_id="listCallbacks", summary="List callbacks", responses=errors(*ANY, 404))  # fmt: skip
        add("/callbacks/{callback_id}", self._show, methods=["GET"],
            response_model=CallbackBody, operation_id="getCallback", summary="Show a callback",
            responses=errors(*ANY, 404))  # fmt: skip
        add("/callbacks/{callback_id}/cancel", self._cancel, methods=["POST"],
            response_model=CallbackBody, operation_id="cancelCallback", summary="Cancel a callback",
            responses=errors(*ANY, 404, 409))  # fmt: skip
        return router

    # --- endpoints ---------------------------------------------------------------------------------------------

    def _create(
        self,
        body: CallbackRequestBody,
        key: CreateKey,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        instance = self._desk.find(body.instance) if key.reaches(body.instance) else None
        if instance is None:
            raise ApiError(404, "unknown_instance")
        values = {name: text for name, text in body.model_dump().items() if text is not None}
        languages = instance.configuration.languages
        language = body.language if body.language in languages else languages[0]
        any_account = "any-account" in key.scopes and body.password is None

        def carry_out(callback_key: str) -> StoredReply:
            asked = self._desk.ask(
                instance,
                values,
                language=language,
                asker=program(key, body.end_user or ""),
                key=callback_key,
                any_account=any_account,
            )
            return self._reply(asked)

        once_key = f"api:{key.name}:{idempotency_key}" if idempotency_key else ""
        fingerprint = self._desk.signer.fingerprint(json.dumps(values, sort_keys=True))
        reply = once(self._stores.idempotency, self._desk.clock, once_key, fingerprint, carry_out)
        return answer(reply.status, reply.body, reply.headers)

    def _reply(self, asked: Asked) -> StoredReply:
        if asked.problems:
            headers = {"Retry-After": str(asked.retry_after_s)} if asked.retry_after_s else {}
            return StoredReply(asked.status, problem_body(asked), headers)
        headers = {"Location": f"{PREFIX}/callbacks/{asked.request_id}"}
        return StoredReply(
            201, self._body(self._stores.requests.get(asked.request_id)).model_dump(mode="json"), headers
        )

    def _list(
        self,
        key: ListKey,
        instance: Annotated[
            str | None, Query(pattern=NAME_PATTERN, description="Only callbacks of this instance.")
        ] = None,
        state: Annotated[RequestState | None, Query(description="Only callbacks in this state.")] = None,
        account: QueryText = None,
        number: Annotated[
            str | None,
            Query(pattern=DIGITS_PATTERN, description="Only callbacks with this first or second number."),
        ] = None,
        reference: QueryText = None,
        since: Since = None,
        until: Until = None,
        limit: PageLimit = 50,
        after: After = None,
    ) -> ListBody:
        if instance and not key.reaches(instance):
            raise ApiError(404, "unknown_instance")
        which = Which(
            instance or key.instance,
            state or "",
            account or "",
            number or "",
            reference or "",
            micros_of(since),
            micros_of(until),
        )
        views = self._asked.page(which, after=read_cursor(after), limit=limit + 1)
        last = views[limit - 1] if len(views) > limit else None
        return ListBody(
            callbacks=[self._body(view) for view in views[:limit]],
            next=cursor(last.created_at_us, last.id) if last else None,
        )

    def _show(self, callback_id: CallbackId, key: StatusKey) -> CallbackBody:
        return self._body(self._found(callback_id, key))

    def _cancel(self, callback_id: CallbackId, key: CancelKey) -> CallbackBody:
        view = self._found(callback_id, key)
        if not self._end_call(view.id):
            raise ApiError(409, "over")
        return self._body(self._stores.requests.get(view.id))

    # --- help --------------------------------------------------------------------------------------------------

    def _found(self, callback_id: str, key: ApiKeyView) -> RequestView:
        view = self._stores.requests.get(callback_id) if self._stores.requests.exists(callback_id) else None
        if view is None or view.triggered_by != "web" or not key.reaches(view.instance):
            raise ApiError(404, "unknown_callback")
        return view

    def _body(self, view: RequestView) -> CallbackBody:
        instance = self._stores.web_instances.find(view.instance)
        progress = progress_of(self._stores, view.id, self._desk.clock.now_us())
        show_cost = instance is not None and instance.configuration.settings.show_cost
        token = self._desk.status_token(instance, view.id) if instance else ""
        url = f"{self._settings.origin}/status/{token}" if token else ""
        return CallbackBody(**dict(callback_state(progress, show_cost=show_cost)), status_url=url)


def callback_state(progress: Progress, *, show_cost: bool) -> CallbackState:
    """A callback as programs see it."""
    view, shown = progress.request, show_cost and progress.over and progress.currency
    return CallbackState(
        id=view.id,
        trigger=view.triggered_by,
        instance=view.instance,
        reference=view.reference,
        step=progress.step,
        over=progress.over,
        reason=progress.reason,
        first_number=progress.first_number_e164,
        second_number=view.destination,
        created_at=iso(view.created_at_us),
        call_at=iso(view.call_at_us) if view.call_at_us else None,
        steps=[StepBody(step=step, at=iso(at_us)) for step, at_us in progress.steps],
        talk_s=seconds(progress.talk_us),
        cost=CostBody(
            amount=format_number(progress.cost_micros, progress.currency), currency=progress.currency
        )
        if shown
        else None,
    )
