"""The description of the API (OpenAPI 3.1), with what FastAPI does not know by itself."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Header
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field

from stasis_callback.web.api import CallbackState
from stasis_callback.web.problems import MEDIA_TYPE
from stasis_callback.web.security import REQUEST_ID
from stasis_callback.web.webhooks import LowBalance

DESCRIPTION = f"""Ask for callbacks and follow them. Keys come from `stasis-callback api-key add`.

Every answer has `{REQUEST_ID}`: yours, if the request has one, otherwise ours; it is in the log. Answers to requests
with a key have `RateLimit` and `RateLimit-Policy`. Errors are `{MEDIA_TYPE}` (RFC 9457) with a stable `code`."""

_HEADERS = {
    REQUEST_ID: "Id of the request, as it is in the log.",
    "RateLimit": "Requests that are left with this key, and seconds until there are more.",
    "RateLimit-Policy": "Requests that this key may make, and within how many seconds.",
}


class CallbackWebhook(BaseModel):
    """A step of a callback."""

    id: Annotated[str, Field(description="Id of the event: the same when it is delivered again.")]
    type: Annotated[str, Field(description="`callback.` and the step.", examples=["callback.connected"])]
    at: Annotated[str, Field(description="Time of the step, ISO 8601, UTC.")]
    callback: CallbackState


class LowBalanceWebhook(BaseModel):
    """A notice of a low balance."""

    id: Annotated[str, Field(description="Id of the notice: the same when it is delivered again.")]
    type: Annotated[str, Field(description="`account.low_balance`.")]
    at: Annotated[str, Field(description="Time of the charge, ISO 8601, UTC.")]
    account: LowBalance


def describe(app: FastAPI, origin: str) -> None:
    """Let `app` describe itself with its webhooks, its address, and errors of their own media type."""

    @app.webhooks.post("callback", summary="A step of a callback", tags=["webhooks"])
    def callback(
        body: CallbackWebhook,
        webhook_id: Annotated[str, Header(description="The event: the same when it is delivered again.")],
        webhook_timestamp: Annotated[
            str, Header(description="Time of the delivery, seconds since the epoch.")
        ],
        webhook_signature: Annotated[str, Header(description="By Standard Webhooks: `v1,` and Base64.")],
    ) -> None:
        """Sent to `webhook_url` of the instance for every step, until it is answered with 2xx."""

    @app.webhooks.post("low-balance", summary="A notice of a low balance", tags=["webhooks"])
    def low_balance(
        body: LowBalanceWebhook,
        webhook_id: Annotated[str, Header(description="The notice: the same when it is delivered again.")],
        webhook_timestamp: Annotated[
            str, Header(description="Time of the delivery, seconds since the epoch.")
        ],
        webhook_signature: Annotated[str, Header(description="By Standard Webhooks: `v1,` and Base64.")],
    ) -> None:
        """Sent to the `webhook_url` that the account's product names, until it is answered with 2xx."""

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title, version=app.version, openapi_version=app.openapi_version,
                description=DESCRIPTION, routes=app.routes, webhooks=app.webhooks.routes,
                servers=[{"url": origin}],
            )  # fmt: skip
            for path in made["paths"].values():
                for operation in path.values():
                    for status, response in operation["responses"].items():
                        _complete(status, response)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign]  # as FastAPI wants it


def _complete(status: str, response: dict[str, Any]) -> None:
    content = response.get("content", {})
    if status >= "400" and "application/json" in content:
        content[MEDIA_TYPE] = content.pop("application/json")
    headers = response.setdefault("headers", {})
    for name, text in _HEADERS.items():
        headers[name] = {"description": text, "schema": {"type": "string"}}
