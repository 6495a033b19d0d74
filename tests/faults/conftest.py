"""Faults on the real parts: a service process, real Asterisks, a real PostgreSQL, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_rig import Site, new_site

from stasis_callback.testing.pstn import RealNetwork


@pytest.fixture
def site(real_network: RealNetwork, tmp_path: Path) -> Iterator[Site]:
    with new_site(real_network, tmp_path) as made:
        yield made
