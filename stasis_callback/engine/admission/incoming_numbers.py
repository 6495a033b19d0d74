"""The numbers of a missed call, read by the form of the trunk that it came over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from stasis_callback.core.incoming import Incoming, Invite, read
from stasis_callback.core.trunk_numbers import NumberForm
from stasis_callback.store.rates.trunks import TrunkView, form_of


class IncomingNumbers:
    """Reads what a trunk delivers. A change of a trunk counts from the next call on."""

    def __init__(self, default: NumberForm) -> None:
        """`default` is the form of endpoints that belong to no trunk in the database."""
        self._default = default

    def read(
        self, endpoint: str, invite: Invite, trunks: Sequence[TrunkView], header: Callable[[str], str]
    ) -> Incoming:
        """Who calls which number. `trunks` are all there are; `header` reads one more of the INVITE, by its name."""
        form = form_of(endpoint, trunks) or self._default
        if form.attestation:
            invite = replace(invite, attested=header(form.attestation))
        return read(invite, form)
