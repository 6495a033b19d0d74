"""The numbers of a missed call, read by the form of the trunk that it came over."""

from __future__ import annotations

from stasis_callback.core.incoming import Incoming, Invite, read
from stasis_callback.core.trunk_numbers import NumberForm
from stasis_callback.store.stores import Stores


class IncomingNumbers:
    """Reads what a trunk delivers. A change of a trunk counts from the next call on."""

    def __init__(self, stores: Stores, default: NumberForm) -> None:
        """`default` is the form of endpoints that belong to no trunk in the database."""
        self._stores = stores
        self._default = default

    def read(self, endpoint: str, invite: Invite) -> Incoming:
        """Who calls which number. Raises StoreUnavailable."""
        return read(invite, self._stores.trunks.number_form(endpoint) or self._default)
