"""JSON that programs send: each name of an object once. Of a name that is there twice parsers take either value, and
a payment of two amounts is none (RFC 8259, section 4; RFC 7493, section 2.3).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class NamedTwice(json.JSONDecodeError):
    """A name that is in one object more than once."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name[:64]!r} is there more than once", "", 0)


def read_json(body: bytes | str) -> Any:
    """What a body says. Raises JSONDecodeError; UnicodeDecodeError for bytes that are no text."""
    return json.loads(body, object_pairs_hook=_once)


def require_names_once(body: bytes) -> None:
    """For a body that something else reads. Raises NamedTwice; what is no JSON is left to the reader."""
    try:
        read_json(body)
    except NamedTwice:
        raise
    except (ValueError, RecursionError):
        return


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise NamedTwice(name)
        found[name] = value
    return found


class _StrictRequest(Request):
    async def json(self) -> Any:
        return read_json(await self.body())


class StrictRoute(APIRoute):
    """An operation whose JSON is read by `read_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of FastAPI, with a request that reads JSON so."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strict
