"""The two telephone networks, started once for all tests: a fake Asterisk, and two real ones."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from stasis_callback.testing.asterisk import AsteriskUnavailable
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork
from stasis_callback.testing.pstn import RealNetwork, start_network


@pytest.fixture(scope="session")
def fake_network() -> Iterator[FakeNetwork]:
    with FakeAsterisk(speed=4) as fake:
        yield FakeNetwork(fake)


@pytest.fixture(scope="session")
def real_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNetwork]:
    """Fails under CI where no Asterisk can be started; skips on a laptop."""
    try:
        with start_network(tmp_path_factory.mktemp("network")) as network:
            yield network
    except AsteriskUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))
