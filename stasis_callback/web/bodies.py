"""The body of a request whose bytes are signed, and what the description of the API says of it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request, Response
from pydantic import BaseModel, ValidationError

from stasis_callback.web.problems import ApiError, describe_validation
from stasis_callback.web.signing import REPLAY_S


async def _body(request: Request) -> bytes:
    return await request.body()


Body = Annotated[bytes, Depends(_body)]
"""The bytes as they came."""


class AnyEvent(BaseModel):
    """An event, as far as it says what it is."""

    type: str


def not_genuine() -> ApiError:
    """The error for a body that its sender has not signed, or not now; the same whether there is such a sender."""
    return ApiError(401, "bad_signature", f"Messages older than {REPLAY_S} s are refused as well.")


def invalid(error: ValidationError) -> Response:
    """The answer to a body that was signed and is not as described."""
    return describe_validation([{**one, "loc": ("body", *one["loc"])} for one in error.errors()])


def described(event: type[BaseModel]) -> dict[str, Any]:
    """What the description says of a body with an event and its `data`."""
    schema = event.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs")
    schema["properties"]["data"] = definitions[event.model_fields["data"].annotation.__name__]  # type: ignore[union-attr]
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
