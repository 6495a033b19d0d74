"""The JSON API: request, show, cancel and list callbacks. Described by OpenAPI 3.1."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response, Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from pydantic import BaseModel, ConfigDict, Field

from stasis_callback.clock import iso
from stasis_callback.core.money import format_amount
from stasis_callback.core.progress import Step
from stasis_callback.core.states import RequestState
from stasis_callback.settings import WebSettings
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.intake.api_keys import ApiKeys, ApiKeyView
from stasis_callback.store.stores import Stores
from stasis_callback.web.desk import FIELD_LIMIT, Asked, Desk
from stasis_callback.web.idempotency import StoredReply, once
from stasis_callback.web.pages import problem_body
from stasis_callback.web.status import Progress, progress_of, seconds
from stasis_callback.web.visitors import KEY_LIMIT, may_come_from, program

PREFIX = "/api/v1"
LIST_LIMIT = 100
NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,31}$"
TEXT_PATTERN = r"^[^\x00-\x1f\x7f]*$"

Text = Annotated[str, Field(min_length=1, max_length=FIELD_LIMIT, pattern=TEXT_PATTERN)]


class CallbackRequestBody(BaseModel):
    """A request for a callback. Required fields depend on the instance; other fields are ignored."""

    model_config = ConfigDict(extra="forbid")

    instance: Annotated[str, Field(pattern=NAME_PATTERN, description="Web instance.")]
    first_number: Annotated[Text, Field(description="Number called first, national or international.")]
    second_number: Annotated[Text | None, Field(description="Number called second (extended).")] = None
    account: Annotated[Text | None, Field(description="Account id that pays (simple, extended).")] = None
    password: Annotated[
        Text | None,
        Field(description="Service password of the account; not needed with the scope any-account."),
    ] = None
    end_user: Annotated[
        Text | None,
        Field(
            description="Your own id of the person who asks: limits for one source then count each of them alone."
        ),
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


class CallbackBody(BaseModel):
    """The current state of a callback."""

    id: str
    instance: str
    step: Annotated[Step, Field(description="Last step.")]
    over: Annotated[bool, Field(description="Whether the callback has ended.")]
    reason: Annotated[str, Field(description="Reason of the ending; empty before.")]
    first_number: Annotated[str, Field(description="E.164 digits.")]
    second_number: Annotated[str, Field(description="E.164 digits; empty if it is dialled during the call.")]
    created_at: str
    steps: list[StepBody]
    talk_s: Annotated[int, Field(description="Seconds for which the parties have been connected.")]
    cost: Annotated[
        CostBody | None, Field(description="Cost, after the end and if enabled for the instance.")
    ]
    status_url: Annotated[str, Field(description="URL of the status page for the user.")]


class ListBody(BaseModel):
    """Callbacks, newest first."""

    callbacks: list[CallbackBody]
    next: Annotated[
        str | None, Field(description="Value of `after` for the next page; null on the last page.")
    ]


class ProblemBody(BaseModel):
    """The details of an error."""

    code: Annotated[str, Field(description="Error code.")]
    message: Annotated[str, Field(description="Message; may be empty.")]
    fields: Annotated[dict[str, str], Field(description="Error codes by field.")]


class ErrorBody(BaseModel):
    """An error."""

    error: ProblemBody


class ApiError(Exception):
    """Ends a request with an error."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}

    def response(self) -> JSONResponse:
        """The HTTP response for this error."""
        return JSONResponse(error_body(self.code, self.message), self.status, headers=self.headers)


def error_body(code: str, message: str, fields: dict[str, str] | None = None) -> dict[str, object]:
    """The body of error responses."""
    return {"error": {"code": code, "message": message, "fields": fields or {}}}


_WORDS = {
    400: "The request is not valid JSON.",
    401: "The API key is missing, unknown or revoked.",
    402: "The account has insufficient funds for the call.",
    403: "The key does not have the required scope, or the login is wrong.",
    404: "Not found, or the key is for another instance.",
    408: "The request was not received completely in time.",
    409: "A callback for this account or number is in progress or was requested a moment ago, or has already ended.",
    413: "The body is too long.",
    422: "The request is invalid; see `fields`.",
    429: "Too many requests or failed logins; see `Retry-After`.",
    500: "Internal error.",
    503: "The service is overloaded; retry later.",
}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorBody, "description": _WORDS[status]} for status in statuses}


_ANY = (401, 403, 422, 503)
_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="API key created with `stasis-callback api-key add`."
)


def key_in_force(
    request: Request,
    scopes: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> ApiKeyView:
    """The API key of a request. Raises ApiError if it is missing or does not have the scope."""
    text = credentials.credentials if credentials else ""
    keys: ApiKeys = request.app.state.api_keys
    key = keys.find(text) if 0 < len(text) <= KEY_LIMIT else None
    key = key if key and may_come_from(key, request) else None
    if key is None:
        raise ApiError(401, "no_key", _WORDS[401], {"WWW-Authenticate": "Bearer"})
    if not set(scopes.scopes) <= set(key.scopes):
        raise ApiError(403, "out_of_scope", f"This key does not have the scope {scopes.scope_str}.")
    return key


CreateKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["create"])]
ListKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["list"])]
StatusKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["status"])]
CancelKey = Annotated[ApiKeyView, Security(key_in_force, scopes=["cancel"])]
RequestId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="Callback id.")]


class Api:
    """The endpoints. `end_call` ends a queued or live callback; False if the callback has already ended."""

    def __init__(self, desk: Desk, settings: WebSettings, end_call: Callable[[str], bool]) -> None:
        self._desk = desk
        self._stores: Stores = desk.stores
        self._settings = settings
        self._end_call = end_call

    def router(self) -> APIRouter:
        """The router with all endpoints."""
        router = APIRouter(prefix=PREFIX, tags=["callbacks"])
        add = router.add_api_route
        add("/callbacks", self._create, methods=["POST"], status_code=201,
            response_model=CallbackBody, operation_id="createCallback", summary="Request a callback",
            responses=_errors(400, *_ANY, 402, 404, 408, 409, 413, 429)
            | {201: {"headers": {"Location": {"schema": {"type": "string"}}}}})  # fmt: skip
        add("/callbacks", self._list, methods=["GET"], response_model=ListBody,
            operation_id="listCallbacks", summary="List callbacks", responses=_errors(*_ANY, 404))  # fmt: skip
        add("/callbacks/{callback_id}", self._show, methods=["GET"],
            response_model=CallbackBody, operation_id="getCallback", summary="Show a callback",
            responses=_errors(*_ANY, 404))  # fmt: skip
        add("/callbacks/{callback_id}/cancel", self._cancel, methods=["POST"],
            response_model=CallbackBody, operation_id="cancelCallback", summary="Cancel a callback",
            responses=_errors(*_ANY, 404, 409))  # fmt: skip
        return router

    # --- endpoints ---------------------------------------------------------------------------------------------

    def _create(
        self,
        body: CallbackRequestBody,
        key: CreateKey,
        idempotency_key: Annotated[
            str | None,
            Header(
                max_length=200,
                pattern=r"^[!-~]+$",
                description="Repeated requests with the same key and body make only one callback.",
            ),
        ] = None,
    ) -> Response:
        instance = self._desk.find(body.instance) if key.reaches(body.instance) else None
        if instance is None:
            raise ApiError(404, "unknown_instance", "Unknown web instance, or this key is for another one.")
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
        return JSONResponse(reply.body, reply.status, headers=reply.headers)

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
        limit: Annotated[int, Query(ge=1, le=LIST_LIMIT, description="Maximum number of callbacks.")] = 50,
        after: Annotated[str | None, Query(max_length=64, description="`next` of the previous page.")] = None,
    ) -> ListBody:
        if instance and not key.reaches(instance):
            raise ApiError(404, "unknown_instance", "This key is for another instance.")
        views = self._stores.requests.of_instances(
            instance or key.instance, state=state, before_us=_read_cursor(after), limit=limit + 1
        )
        more = _cursor(views[limit - 1].created_at_us) if len(views) > limit else None
        return ListBody(callbacks=[self._body(view) for view in views[:limit]], next=more)

    def _show(self, callback_id: RequestId, key: StatusKey) -> CallbackBody:
        return self._body(self._found(callback_id, key))

    def _cancel(self, callback_id: RequestId, key: CancelKey) -> CallbackBody:
        view = self._found(callback_id, key)
        if not self._end_call(view.id):
            raise ApiError(409, "over", "This callback has already ended.")
        return self._body(self._stores.requests.get(view.id))

    # --- help --------------------------------------------------------------------------------------------------

    def _found(self, callback_id: str, key: ApiKeyView) -> RequestView:
        view = self._stores.requests.get(callback_id) if self._stores.requests.exists(callback_id) else None
        if view is None or view.triggered_by != "web" or not key.reaches(view.instance):
            raise ApiError(404, "unknown_callback", "Unknown callback.")
        return view

    def _body(self, view: RequestView) -> CallbackBody:
        instance = self._stores.web_instances.find(view.instance)
        progress = progress_of(self._stores, view.id, self._desk.clock.now_us())
        show_cost = instance is not None and instance.configuration.settings.show_cost
        token = self._desk.status_token(instance, view.id) if instance else ""
        url = f"{self._settings.origin}/status/{token}" if token else ""
        return callback_body(progress, show_cost=show_cost, status_url=url)


def callback_body(progress: Progress, *, show_cost: bool, status_url: str = "") -> CallbackBody:
    """The API representation of a callback."""
    view, shown = progress.request, show_cost and progress.over and progress.currency
    return CallbackBody(
        id=view.id,
        instance=view.instance,
        step=progress.step,
        over=progress.over,
        reason=progress.reason,
        first_number=progress.first_number_e164,
        second_number=view.destination,
        created_at=iso(view.created_at_us),
        steps=[StepBody(step=step, at=iso(at_us)) for step, at_us in progress.steps],
        talk_s=seconds(progress.talk_us),
        cost=CostBody(amount=format_amount(progress.cost_micros), currency=progress.currency)
        if shown
        else None,
        status_url=status_url,
    )


def _cursor(at_us: int) -> str:
    return base64.urlsafe_b64encode(str(at_us).encode()).decode().rstrip("=")


def _read_cursor(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        if not (decoded.isdigit() and len(decoded) <= 17):
            raise ValueError
        return int(decoded)
    except (ValueError, binascii.Error):
        raise ApiError(
            422, "bad_cursor", "`after` is not a valid cursor: use `next` of the previous page."
        ) from None


def describe_validation(request: Request, errors: list[Any]) -> JSONResponse:
    """Validation errors of FastAPI in the format of all errors."""
    broken = any(error["type"] == "json_invalid" for error in errors)
    fields = {str(error["loc"][-1]): str(error["msg"])[:200] for error in errors if len(error["loc"]) > 1}
    if broken:
        return JSONResponse(error_body("bad_json", _WORDS[400]), 400)
    return JSONResponse(error_body("invalid_fields", _WORDS[422], fields), 422)
