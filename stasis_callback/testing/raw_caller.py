"""A carrier that calls, made of one UDP socket: the headers of its INVITEs are whatever a test writes.

    caller.calls("sip:+420800123456@asterisk", headers=["P-Asserted-Identity: <tel:+420212345678>"])

It is also a registrar: `registrar_says` is its answer to every REGISTER, `contact` the address that was registered.
"""

from __future__ import annotations

import re
import socket
import threading
import uuid
from collections.abc import Sequence
from queue import Empty, Queue

from stasis_callback.clock import wait_until

ASTERISK = "asterisk"
"""In the addresses of a test: the host and port of the Asterisk that is called."""
_LONGEST = 65_535


def sdp(media: str, *lines: str) -> str:
    """A session description with one medium, such as `audio 4000 RTP/AVP 18`."""
    return "\r\n".join(
        [
            "v=0",
            "o=- 1 1 IN IP4 127.0.0.1",
            "s=-",
            "c=IN IP4 127.0.0.1",
            "t=0 0",
            f"m={media}",
            *lines,
            "",
        ]
    )


class RawCaller:
    """The socket, and a thread that reads it. Use it as a context manager."""

    def __init__(self, host: str) -> None:
        """`host` is an address of this machine that the Asterisk identifies a trunk by."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self.address = f"{host}:{self._socket.getsockname()[1]}"
        self.asterisk_port = 0
        self.registrar_says = 200
        self.contact = ""
        self._responses: dict[str, Queue[str]] = {}
        self._thread = threading.Thread(target=self._read, name="raw-caller", daemon=True)

    def __enter__(self) -> RawCaller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closing:
            host, port = self.address.split(":")
            closing.sendto(b"", (host, int(port)))
        self._thread.join()
        self._socket.close()

    def calls(
        self,
        uri: str,
        *,
        from_: str = "<sip:420212345678@carrier.example>",
        to: str = "",
        headers: Sequence[str] = (),
        body: str = "",
        timeout_s: float = 10.0,
    ) -> list[int]:
        """The statuses that a call gets, to the final one. AssertionError when that does not come."""
        call_id, branch = uuid.uuid4().hex, f"z9hG4bK{uuid.uuid4().hex}"
        uri = uri.replace(ASTERISK, f"127.0.0.1:{self.asterisk_port}")

        def request(method: str, to: str, *more: str) -> str:
            lines = [
                f"{method} {uri} SIP/2.0",
                f"Via: SIP/2.0/UDP {self.address};branch={branch}",
                "Max-Forwards: 70",
                f"From: {from_};tag={call_id[:8]}",
                f"To: {to}",
                f"Call-ID: {call_id}",
                f"CSeq: 1 {method}",
                f"Contact: <sip:carrier@{self.address}>",
                *more,
            ]
            return "\r\n".join(lines)

        described = ["Content-Type: application/sdp"] if body else []
        responses = self._responses[call_id] = Queue()
        self._send(
            request(
                "INVITE",
                to.replace(ASTERISK, f"127.0.0.1:{self.asterisk_port}") or f"<{uri}>",
                *headers,
                *described,
                f"Content-Length: {len(body)}",
                f"\r\n{body}",
            )
        )
        statuses: list[int] = []
        while not statuses or statuses[-1] < 200:
            try:
                response = responses.get(timeout=timeout_s)
            except Empty:
                raise AssertionError(f"no final answer to {uri} after {statuses}") from None
            statuses.append(int(response.split()[1]))
        self._send(request("ACK", _header(response, "To"), "Content-Length: 0", "\r\n"))
        del self._responses[call_id]
        return statuses

    def wait_registered(self, *, timeout_s: float = 15.0) -> str:
        """The contact that was registered here. AssertionError when nothing registers."""
        assert wait_until(lambda: bool(self.contact), timeout_s=timeout_s), "nothing has registered"
        return self.contact

    # --- its thread --------------------------------------------------------------------------------------------

    def _send(self, text: str) -> None:
        self._socket.sendto(text.encode(), ("127.0.0.1", self.asterisk_port))

    def _read(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(_LONGEST)
            if not data:
                return
            text = data.decode(errors="replace")
            if text.startswith("SIP/2.0"):
                waiting = self._responses.get(_header(text, "Call-ID"))
                if waiting is not None:
                    waiting.put(text)
            elif text.strip() and not text.startswith("ACK"):
                self._answer(text, peer)

    def _answer(self, request: str, peer: tuple[str, int]) -> None:
        """A REGISTER as a test wants it, all else (OPTIONS) with 200."""
        is_register = request.startswith("REGISTER")
        status = self.registrar_says if is_register else 200
        contact = _header(request, "Contact")
        lines = [
            f"SIP/2.0 {status} So it is",
            *(f"{name}: {_header(request, name)}" for name in ("Via", "From", "Call-ID", "CSeq")),
            f"To: {_header(request, 'To')};tag=raw",
            *([f"Contact: {contact};expires=300"] if is_register and status == 200 else []),
            "Content-Length: 0",
            "\r\n",
        ]
        self._socket.sendto("\r\n".join(lines).encode(), peer)
        if is_register and status == 200:
            self.contact = re.sub(r"^.*<|>.*$", "", contact)


def _header(text: str, name: str) -> str:
    found = re.search(rf"^{name}:[ \t]*(.*?)\r?$", text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""
