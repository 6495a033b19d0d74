"""The check of the running service, through its /readyz."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stasis_callback.admin.node.findings import Finding, to_start

if TYPE_CHECKING:
    from stasis_callback.settings import Settings, WebSettings

PATIENCE_S = 3.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104


def service_findings(config: Settings, runs: bool | None) -> Iterator[Finding]:
    """The answer of `/readyz`, if this node has a web server. `runs`: whether the service is known to run."""
    web = config.web
    if not web.enabled or not web.port:
        return
    where = f"{web.host}:{web.port}"
    try:
        status, text = _readyz(web)
    except TimeoutError:
        yield Finding(
            "problem",
            f"the service does not answer at {where} within {PATIENCE_S:.0f} s",
            "its process may be frozen: restart it; live calls continue",
        )
    except (OSError, http.client.HTTPException) as error:
        reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        yield Finding("problem", f"the service does not answer at {where}: {reason}", to_start(runs))
    else:
        if status == 200 and text == "ready":
            yield Finding("ok", f"the service at {where} is ready")
        elif status == 503:
            for line in text.splitlines():
                yield Finding("problem", f"the service reports: {line}", "see its log")
        else:
            yield Finding(
                "problem", f"another program answers at {where} (status {status})", "check web.port"
            )


def _readyz(web: WebSettings) -> tuple[int, str]:
    host = _EVERYWHERE.get(web.host, web.host)
    connection: http.client.HTTPConnection
    if web.tls_certificate:
        # A health check, not authentication: the certificate need not be valid for this address.
        context = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection(host, web.port, timeout=PATIENCE_S, context=context)
    else:
        connection = http.client.HTTPConnection(host, web.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read(4096).decode(errors="replace").strip()
    finally:
        connection.close()
