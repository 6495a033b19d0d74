"""Errors as programs get them: `application/problem+json` (RFC 9457) with a stable code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from stasis_callback.core.words import Refusal

MEDIA_TYPE = "application/problem+json"

TITLES: Mapping[str, str] = {
    **{refusal.value: refusal.sentence for refusal in Refusal},
    # Of the request itself.
    "bad_json": "the request is not valid JSON",
    "bad_request": "the request is invalid",
    "invalid_fields": "one or more fields are invalid; see `fields`",
    "required": "a required field is empty",
    "too_long": "a field is too long",
    "bad_number": "not a valid phone number",
    "needs_country": "the number needs its country code",
    "bad_time": "not a time within the next 24 hours",
    "no_times": "the instance takes no times (option call_me_at)",
    "closed": "no calls are made at this time",
    "no_proof": "the proof of work is missing, wrong or used; get the page again",
    "wrong_account": "unknown account",
    "bad_cursor": "`after` is not a `next` of this list",
    "idempotency_key_reused": "this Idempotency-Key was used for another request",
    "no_key": "the API key is missing, unknown, revoked, expired or for another address",
    "out_of_scope": "the API key does not have the scope",
    "rate_limited": "the API key has made too many requests",
    "unknown_instance": "unknown web instance, or the API key is for another one",
    "unknown_callback": "unknown callback, or the API key is for another instance",
    "over": "the callback has already ended",
    "not_found": "there is nothing at this address",
    "method_not_allowed": "this method is not allowed here",
    "too_large": "the body is too long",
    "too_slow": "the request was not received completely in time",
    "ambiguous_length": "the request states its length in two ways",
    "unavailable": "the service cannot use its database just now; retry later",
    "fault": "internal error; it has been logged",
    # Of accounts and money.
    "invalid_input": "a value cannot be used; see `detail`",
    "unknown_tariff": "unknown tariff",
    "account_exists": "there is another account with this id",
    "account_closed": "the account is closed",
    "bad_amount": "not an amount that the account's currency can have",
    "id_reused": "this id was used for another account or amount",
    "bad_voucher": "the voucher is unknown, used, blocked, expired, or in another currency",
    "bad_signature": "the signature is missing, wrong or too old, or there is no such payment hook or instance",
    # Of forms that are sent by a program.
    "form_expired": "the form has expired",
    "forbidden": "a link, an allowed address or an API key is required",
    "wrong_site": "the form was sent from a site that is not allowed",
    "link_expired": "the link has expired",
    "trouble": "the request could not be answered",
}
"""All codes with their meaning. Codes are a public interface: they never change."""

FIELDS: Mapping[str, str] = {
    "required": "is missing",
    "unknown": "is not known here",
    "repeated": "is given more than once",
    "wrong_type": "must be {expected}",
    "too_long": "is too long",
    "too_short": "is too short",
    "out_of_range": "is too small or too large",
    "bad_form": "is not written as it must be",
    "bad_choice": "must be one of {expected}",
    "not_a_time": "must be a date and time with its zone, for example 2027-01-31T18:00:00+01:00",
    "invalid": "is invalid",
}
"""The codes of what is wrong with a field or query parameter, of a request that is `invalid_fields`, in words."""

_TYPES = {
    "string": "a text", "int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list",
    "dict": "an object", "model": "an object",
    "model_attributes": "a JSON object, sent as application/json",
}  # fmt: skip
_EXACT = {
    "missing": "required", "extra_forbidden": "unknown", "string_pattern_mismatch": "bad_form",
    "enum": "bad_choice", "literal_error": "bad_choice",
}  # fmt: skip
_BY_END = {
    "_too_long": "too_long",
    "_too_short": "too_short",
    "_type": "wrong_type",
    "_parsing": "wrong_type",
}
_BY_BEGINNING = {
    "datetime": "not_a_time", "date_": "not_a_time", "timezone": "not_a_time", "greater_than": "out_of_range",
    "less_than": "out_of_range",
}  # fmt: skip


class Problem(BaseModel):
    """What went wrong (RFC 9457). `code` never changes between releases; texts may."""

    type: Annotated[str, Field(description="`urn:stasis-callback:` and the code.")]
    title: Annotated[str, Field(description="Meaning of the code.")]
    status: Annotated[int, Field(description="HTTP status.")]
    detail: Annotated[str, Field(description="A sentence that can be shown to a person; may be empty.")]
    code: Annotated[str, Field(description="Error code.", json_schema_extra={"enum": sorted(TITLES)})]
    fields: Annotated[dict[str, str], Field(description=f"What is wrong, by name: {', '.join(FIELDS)}.")]


def problem(
    status: int, code: str, detail: str = "", fields: Mapping[str, str] | None = None
) -> dict[str, object]:
    """The body of an error."""
    title = TITLES[code]
    return {
        "type": f"urn:stasis-callback:{code}",
        "title": title[:1].upper() + title[1:] + ".",
        "status": status,
        "detail": detail,
        "code": code,
        "fields": dict(fields or {}),
    }


class ProblemResponse(JSONResponse):
    """An answer with the body of an error."""

    media_type = MEDIA_TYPE


def answer(status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A body as JSON, of the media type that belongs to its status."""
    kind = ProblemResponse if status >= 400 else JSONResponse
    return kind(body, status, headers=dict(headers or {}))


class ApiError(Exception):
    """Ends a request with an error."""

    def __init__(
        self, status: int, code: str, detail: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail or TITLES[code])
        self.status, self.code, self.detail, self.headers = status, code, detail, headers

    def response(self) -> JSONResponse:
        """The HTTP response for this error."""
        return answer(self.status, problem(self.status, self.code, self.detail), self.headers)


def describe_validation(errors: list[Any]) -> JSONResponse:
    """Validation errors of FastAPI in the format of all errors."""
    if any(error["type"] == "json_invalid" for error in errors):
        return answer(400, problem(400, "bad_json"))
    wrong = {str(error["loc"][-1]): error for error in errors}
    return invalid_fields({name: _field_code(error["type"]) for name, error in wrong.items()}, wrong)


def invalid_fields(codes: Mapping[str, str], errors: Mapping[str, Any] | None = None) -> JSONResponse:
    """Fields that are wrong, by name, with their codes of `FIELDS`; `errors` are those of the validation."""
    said = (f"{name} {_in_words(code, (errors or {}).get(name))}" for name, code in codes.items())
    return answer(422, problem(422, "invalid_fields", "; ".join(said)[:500], codes))


def _field_code(found: str) -> str:
    """The code of what the validation has found: its own words change with its releases."""
    if found in _EXACT:
        return _EXACT[found]
    beginnings = (code for text, code in _BY_BEGINNING.items() if found.startswith(text))
    ends = (code for text, code in _BY_END.items() if found.endswith(text))
    return next(beginnings, None) or next(ends, "invalid")


def _in_words(code: str, error: Any) -> str:
    error = error or {"type": "", "ctx": {}}
    kind, limits = error["type"].rpartition("_")[0], error.get("ctx", {})
    if code in ("too_long", "too_short") and (limit := limits.get("max_length") or limits.get("min_length")):
        return f"must have at {'most' if code == 'too_long' else 'least'} {limit} {_counted(kind)}"
    if code == "out_of_range" and (limit := limits.get("ge", limits.get("le"))) is not None:
        return f"must be at {'least' if 'ge' in limits else 'most'} {limit}"
    return FIELDS[code].format(expected=limits.get("expected") or _TYPES.get(kind, "of another type"))


def _counted(kind: str) -> str:
    return "characters" if kind.startswith("string") else "entries"


Words = Literal[400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 503]
_WORDS: Mapping[int, str] = {
    400: "The request is not valid JSON, or states its length in two ways.",
    401: "The API key is missing, unknown, revoked, expired or for another address; or a signature is wrong.",
    402: "The account has insufficient funds for the call.",
    403: "The key does not have the required scope, or the login is wrong.",
    404: "Not found, or the key is for another instance.",
    408: "The request was not received completely in time.",
    409: "It is in conflict with what is there; see `code`.",
    413: "The body is too long.",
    422: "The request is invalid; see `fields`.",
    429: "Too many requests or failed logins; see `Retry-After`.",
    503: "The service is overloaded, or cannot use its database; retry later.",
}
ANY: tuple[Words, ...] = (401, 403, 422, 429, 503)
"""The errors that every operation may have."""
BODY: tuple[Words, ...] = (400, 408, 413)
"""Those of an operation with a body."""


def errors(*statuses: Words) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation, for its description."""
    return {status: {"model": Problem, "description": _WORDS[status]} for status in statuses}
