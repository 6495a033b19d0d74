"""What really went over the wire: the SIP messages of an instance, with the microsecond of each.

Read from the capture Asterisk itself writes (`pjsip set logger pcap FILE`), which needs no privileges. In it each
SIP message is one frame of the classic pcap format: Ethernet, IPv4, UDP. Asterisk does not know its own side's
address there, so a message it sent has no source and one it received no destination.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

from stasis_callback.testing.asterisk import AsteriskInstance

_FILE_HEADER, _FRAME_HEADER = 24, struct.Struct("<IIII")
_ETHERNET, _IPV4, _UDP = 14, 20, 8
_USER = re.compile(r"sips?:([^@;>\s]*)@")


@dataclass(frozen=True)
class SipMessage:
    """One request or response."""

    at_us: int
    sent: bool
    """Whether this Asterisk sent it; else it received it."""
    call_id: str
    method: str
    """INVITE, BYE, ...: of a response, the method it answers."""
    status: int | None
    """None for a request."""
    first_line: str
    from_number: str
    to_number: str
    """The user part of the called address: in a request of its first line, in a response of `To`."""
    text: str = field(default="", repr=False)
    """All of it."""


class SipTrace:
    """The SIP messages of one instance since `start`."""

    def __init__(self, instance: AsteriskInstance, folder: Path) -> None:
        self._instance = instance
        self._folder = folder
        self._parts = 0
        self._messages: list[SipMessage] = []

    def start(self) -> None:
        """Have the running instance write down its messages from now on."""
        self._next_part()
        self._instance.cli("pjsip set logger on")
        self._instance.cli("pjsip set logger verbose off")

    def messages(self) -> list[SipMessage]:
        """Everything so far, in order."""
        finished = self._part()
        self._next_part()  # Asterisk writes in blocks; a file is complete only when it goes on to the next
        self._messages += read_pcap(finished.read_bytes())
        return list(self._messages)

    def invite(self, number: str, *, after_us: int = 0) -> SipMessage:
        """The first INVITE to `number` (either way) at or after an instant; AssertionError without one."""
        for message in self.messages():
            to_it = message.status is None and message.method == "INVITE" and message.to_number == number
            if to_it and message.at_us >= after_us:
                return message
        raise AssertionError(f"no INVITE to {number} went over the wire")

    def responses_to(self, invite: SipMessage) -> list[int]:
        """The statuses an INVITE was answered with, in order: `[100, 486]`."""
        return [
            message.status
            for message in self.messages()
            if message.call_id == invite.call_id
            and message.method == "INVITE"
            and message.status is not None
            and message.sent != invite.sent
        ]

    def _part(self) -> Path:
        return self._folder / f"sip-{self._parts}.pcap"

    def _next_part(self) -> None:
        self._parts += 1
        self._instance.cli(f"pjsip set logger pcap {self._instance.path_inside(self._part())}")


def read_pcap(data: bytes) -> list[SipMessage]:
    """The SIP messages of a capture file written by Asterisk on this machine (little-endian, IPv4)."""
    messages, at = [], _FILE_HEADER
    while at + _FRAME_HEADER.size <= len(data):
        seconds, microseconds, size, _ = _FRAME_HEADER.unpack_from(data, at)
        frame = data[at + _FRAME_HEADER.size : at + _FRAME_HEADER.size + size]
        at += _FRAME_HEADER.size + size
        source = frame[_ETHERNET + 12 : _ETHERNET + 16]
        text = frame[_ETHERNET + _IPV4 + _UDP :].decode(errors="replace")
        if (message := _parse(text, seconds * 1_000_000 + microseconds, source == bytes(4))) is not None:
            messages.append(message)
    return messages


def _parse(text: str, at_us: int, sent: bool) -> SipMessage | None:
    first_line, *lines = text.partition("\r\n\r\n")[0].split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    if "cseq" not in headers:
        return None  # a keep-alive
    status = int(first_line.split()[1]) if first_line.startswith("SIP/2.0 ") else None
    return SipMessage(
        at_us=at_us,
        sent=sent,
        call_id=headers.get("call-id", ""),
        method=headers["cseq"].split()[-1],
        status=status,
        first_line=first_line,
        from_number=_user(headers.get("from", "")),
        to_number=_user(headers.get("to", "") if status is not None else first_line),
        text=text,
    )


def _user(address: str) -> str:
    found = _USER.search(address)
    return found[1] if found else ""
