"""Every scenario of this folder runs twice: on the fake Asterisk and on a real one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from contract.wire import Wire
from stasis_callback.testing.asterisk import AsteriskUnavailable
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork
from stasis_callback.testing.phones import Network
from stasis_callback.testing.pstn import start_network


@pytest.fixture(scope="session")
def fake_network() -> Iterator[Network]:
    with FakeAsterisk() as fake:
        yield FakeNetwork(fake)


@pytest.fixture(scope="session")
def real_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    try:
        with start_network(tmp_path_factory.mktemp("contract")) as network:
            yield network
    except AsteriskUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def asterisk(request: pytest.FixtureRequest) -> Iterator[Wire]:
    wire = Wire(request.getfixturevalue(f"{request.param}_network"), request.param)
    yield wire
    wire.clean()
