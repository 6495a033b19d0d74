"""A Python client that is generated from the description of the API asks for a callback, pays in and reads xDRs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from web_site import ACCOUNT, FIRST, PASSWORD, SECOND, Site

PLACE = Path(__file__).resolve().parents[2] / ".cache" / "client-generator" / "bin"
PROGRAM = """
import json, sys
from client import AuthenticatedClient
from client.api.callbacks import create_callback, get_callback
from client.api.call_records import list_xdrs
from client.api.money import top_up
from client.models import CallbackRequestBody, TopUpBody

base, key, *words = sys.argv[1:]
account, password, first, second = words
client = AuthenticatedClient(base_url=base, token=key)
asked = create_callback.sync(
    client=client,
    idempotency_key="order-1",
    body=CallbackRequestBody(
        instance="calls", account=account, password=password, first_number=first, second_number=second
    ),
)
seen = get_callback.sync(asked.id, client=client)
paid = top_up.sync(client=client, body=TopUpBody(id="pay-1", account=account, amount="12.50"))
xdrs = list_xdrs.sync(client=client, account=account)
print(json.dumps([asked.id, seen.step, paid.balance, [xdr.number for xdr in xdrs.xdrs]]))
"""


def test_a_generated_client_asks_pays_and_reads(site: Site, tmp_path: Path) -> None:
    generator = PLACE / "openapi-python-client"
    if not generator.exists():
        if os.environ.get("CI"):
            raise RuntimeError("there is no generator: run tools/get-client-generator")
        pytest.skip("there is no generator: run tools/get-client-generator")
    site.usual()
    described = tmp_path / "openapi.json"
    described.write_text(site.api("GET", "/openapi.json").text)
    made = subprocess.run(
        [
            generator, "generate", "--path", described, "--output-path", tmp_path / "client", "--meta", "none",
            "--fail-on-warning",
        ],
        capture_output=True, text=True, env={**os.environ, "PATH": f"{PLACE}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    key = site.key("create", "status", "top-up", "xdrs")
    done = subprocess.run(
        [PLACE / "python", "-c", PROGRAM, site.base, key, ACCOUNT, PASSWORD, FIRST, SECOND],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    callback_id, step, balance, numbers = json.loads(done.stdout)
    assert [row["id"] for row in site.callbacks()] == [callback_id]
    assert (step, balance, numbers) == ("queued", "22.50", [])
