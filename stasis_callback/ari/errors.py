"""What can go wrong between the service and Asterisk; a channel that is gone is an answer, not an error."""

from __future__ import annotations

from stasis_callback.core.errors import CallbackError


class AriError(CallbackError):
    """Asterisk refused a request in a way no state of a call explains: a bug, or a wrong installation.

    `status` is the HTTP status, 0 when the fault was found without one; `message` is Asterisk's own text.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"ARI {status}: {message}" if status else f"ARI: {message}")
        self.status = status
        self.message = message


class AriUnavailable(AriError):
    """Asterisk cannot be reached, did not answer in time or is still loading, and was asked again where that is safe.

    `untouched` says that nothing was carried out for certain: it refused the connection, or said that it is not
    ready. Otherwise nobody knows; a later look at the channel tells.
    """

    def __init__(self, status: int, message: str, *, untouched: bool = False) -> None:
        super().__init__(status, message)
        self.untouched = untouched


class BadEvent(AriError):
    """A websocket message that is not an event (not a JSON object, or without a type)."""

    def __init__(self, message: str) -> None:
        super().__init__(0, message)
