"""Ending a callback from outside its thread: a command, a web page. The call's own thread sees it and charges."""

from __future__ import annotations

from stasis_callback.ari.client import AriClient
from stasis_callback.store.stores import Stores


def hang_up_legs(stores: Stores, client: AriClient, request_id: str) -> list[str]:
    """Hang up what there is of a call; the ids of its legs, none when Asterisk has none of them. Raises AriError.

    Leg A first: when leg B ends, the subscriber is asked for another number. The service then ends leg B itself, and
    may be quicker than we are.
    """
    legs = sorted(stores.calls.open_legs(request_id), key=lambda leg: leg.side)
    ended = [client.channel(leg.id).hang_up() for leg in legs]
    return [leg.id for leg in legs] if any(ended) else []


def take_back(stores: Stores, client: AriClient, request_id: str) -> bool:
    """End a queued or live callback on request; False if it has already ended. Raises AriError.

    One of another node is only marked: that node ends it.
    """
    if not stores.requests.cancel(request_id):
        return False
    # Marked first: a leg that is about to be called is not found here, and its session looks for the mark.
    if stores.requests.get(request_id).claimed_by == stores.nodes.me.name:
        hang_up_legs(stores, client, request_id)
    return True
