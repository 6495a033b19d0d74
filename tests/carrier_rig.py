"""A real Asterisk between two carriers that are bare sockets, and the service beside it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from world import World

from stasis_callback.resources import asterisk_conf_dir
from stasis_callback.testing.asterisk import AsteriskInstance, AsteriskUnavailable
from stasis_callback.testing.phones import SECOND_TRUNK, Network, Rejection
from stasis_callback.testing.pstn import TRUNK
from stasis_callback.testing.raw_carrier import RawCarrier

HOUSE = "house"
"""The account that pays for everything, any number of callbacks at once."""


class CarrierNetwork(Network):
    """The product's Asterisk, with the trunks `trunk` and `second`; each leads to a carrier of its own."""

    trunk_name = TRUNK
    ari_app = ari_username = "stasis-callback"

    def __init__(self, folder: Path, *, endpoint: str = "") -> None:
        """`endpoint` are further lines for the trunks' endpoints in pjsip.conf."""
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self.ari_password = secrets.token_urlsafe(24)
        self.product = AsteriskInstance(
            folder, [asterisk_conf_dir()], ari_user=self.ari_username, ari_password=self.ari_password
        )
        self.first, self.second = RawCarrier(), RawCarrier()
        for name, carrier in ((TRUNK, self.first), (SECOND_TRUNK, self.second)):
            self.product.local["pjsip.conf"] += f"""
[{name}](carrier)
aors = {name}
media_address = 127.0.0.1
bind_rtp_to_media_address = yes
{endpoint}

[{name}]
type = aor
contact = sip:127.0.0.1:{carrier.port}
qualify_frequency = 60
"""

    @property
    def ari_url(self) -> str:
        """Where the product's Asterisk answers ARI."""
        return self.product.ari_url

    @property
    def cel_path(self) -> Path:
        """Its CEL journal."""
        return self.product.cel_path

    def missed_call(self, *, ani: str, dnis: str, gives_up_after_s: float = 10.0) -> Rejection:
        """These carriers bring no calls."""
        raise NotImplementedError


@contextmanager
def two_carriers(folder: Path, **values: Any) -> Iterator[CarrierNetwork]:
    """A running one. Raises AsteriskUnavailable."""
    network = CarrierNetwork(folder, **values)
    with network.first, network.second:
        network.product.start()
        try:
            yield network
        finally:
            network.product.stop()


@contextmanager
def carriers_or_skip(folder: Path) -> Iterator[CarrierNetwork]:
    """The same for a test: it fails under CI where no Asterisk can be started, and skips on a laptop."""
    try:
        with two_carriers(folder / "product") as made:
            yield made
    except AsteriskUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))


class CarrierWorld(World):
    """A business whose calls go over both carriers, the first one first."""

    def open(self, **limits: int) -> None:
        """Everything is sold; `limits` are settings."""
        values = self.settings.limits.model_copy(update=limits)
        self.settings = self.settings.model_copy(update={"limits": values})
        self.usual()
        self.account(HOUSE, funds="10000.00")
        self.two_trunks(prefixes=("", ""))

    def asks_for(self, number_a: str, number_b: str, **options: str) -> str:
        """A callback between two numbers, with one attempt at leg A; its id."""
        once = {f"attempts_{kind}": "1" for kind in ("busy", "no_answer", "congestion")}
        answer = self.asks(
            number_a, number_b, account=HOUSE, trusted=True, shared=True, options={**once, **options}
        )
        assert not answer.reason, answer
        return answer.request_id

    def legs_of(self, request_id: str) -> dict[str, Any]:
        """The call records of one callback, by `a1`, `b1`, ..."""
        xdrs = self.stores.calls.xdrs(request_id=request_id)
        return {xdr.leg_id.rsplit("-", 1)[1]: xdr for xdr in xdrs}
