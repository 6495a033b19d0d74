"""A carrier made of one UDP socket: it answers an INVITE with whatever a test wants, or with nothing at all.

    carrier.says("442071234567", Reply(180), Reply(480, reason="Q.850;cause=34"))
    carrier.says("420212345678", Reply(200, after_s=0.2))       # answers; no sound ever comes
    carrier.fall_silent()                                        # as if its cable were cut
    carrier.listen(); carrier.key("420212345678", "1#"); carrier.silences("420212345678")

Numbers it was told nothing about hear nothing: no answer, not even 100 Trying. An Asterisk at the other end would
always be polite, which real carriers are not.
"""

from __future__ import annotations

import itertools
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from stasis_callback.clock import Clock, wait_until

_LONGEST = 65_535
_FRAME_S, _PCMA, _EVENT = 0.02, 8, 101
_KEYS = "0123456789*#"
_LOUD = 0x20
"""The segment of a loud sample in A-law (G.711): -36 dB and more."""
_SOUND = (b"\x35" * 4 + b"\xb5" * 4) * 20


@dataclass(frozen=True, slots=True)
class Reply:
    """One response: its status, the value of its Reason header if it has one, when it comes after the one before."""

    status: int
    reason: str = ""
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Packet:
    """A SIP message as it came."""

    text: str
    peer: tuple[str, int]

    @property
    def method(self) -> str:
        """The method of a request; `SIP/2.0` of a response."""
        return self.text.split(" ", 1)[0]

    @property
    def number(self) -> str:
        """The user part of the request URI."""
        found = re.match(r"\w+ sips?:([^@; ]+)@", self.text)
        return found[1] if found else ""

    def header(self, name: str) -> str:
        """The value of a header's first line; "" when there is none."""
        found = re.search(rf"^{name}:[ \t]*(.*?)\r?$", self.text, re.MULTILINE | re.IGNORECASE)
        return found[1] if found else ""

    def lines(self, name: str) -> list[str]:
        """Every whole line of a header, in order."""
        return re.findall(rf"^{name}:.*?(?=\r?$)", self.text, re.MULTILINE | re.IGNORECASE)


class RawCarrier:
    """The socket, and a thread that reads it. Use it as a context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._sound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sound.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.received: list[Packet] = []
        """Every request so far, repetitions left out."""
        self._script: dict[str, tuple[Reply, ...]] = {}
        self._seen: set[tuple[str, str]] = set()
        self._silent = self._speaks = False
        self._spoken_s: dict[str, float] = {}
        self._given_up: set[str] = set()
        self._loud_at_s: dict[int, list[float]] = {}
        """When sound arrived from a port, or a digit was keyed to it."""
        self._clock = Clock()
        self._keys: dict[str, deque[str]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name="raw-carrier", daemon=True)

    def __enter__(self) -> RawCarrier:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._sound.sendto(b"", self._sound.getsockname())
        self._thread.join()
        self._socket.close()
        self._sound.close()

    # --- what it does ----------------------------------------------------------------------------------------

    def says(self, number: str, *replies: Reply) -> None:
        """Answer every call to `number` so from now on."""
        self._script[number] = replies

    def fall_silent(self) -> None:
        """Answer nothing any more, whatever comes, and say nothing."""
        self._silent = True

    def speak(self) -> None:
        """Send sound in every call that is answered from now on: a tone of 1 kHz."""
        self._speaks = True

    def listen(self) -> None:
        """From now on, notice when sound arrives."""
        threading.Thread(target=self._listen, name="raw-carrier-listens", daemon=True).start()

    def key(self, number: str, digits: str) -> None:
        """Key digits in the call to a number (RFC 4733), each 100 ms long with 100 ms between. It has to `speak`."""
        self._keys.setdefault(number, deque()).extend(digits)

    def hang_up(self, number: str) -> None:
        """Send BYE in the newest call to a number."""
        invite = self.calls(number)[-1]
        contact = re.sub(r"[<>]", "", invite.header("Contact"))
        lines = [
            f"BYE {contact} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK-bye-{number}",
            "Max-Forwards: 70",
            f"From: {invite.header('To')};tag=carrier",
            f"To: {invite.header('From')}",
            f"Call-ID: {invite.header('Call-ID')}",
            "CSeq: 1 BYE",
            "Content-Length: 0",
        ]
        self._socket.sendto("\r\n".join((*lines, "", "")).encode(), invite.peer)

    # --- what came ---------------------------------------------------------------------------------------------

    def calls(self, number: str) -> list[Packet]:
        """The INVITEs for a number, each once."""
        return [packet for packet in self.received if packet.method == "INVITE" and packet.number == number]

    def wait_for_call(self, number: str, *, timeout_s: float = 15.0) -> Packet:
        """The first INVITE for a number. AssertionError when none comes."""
        assert wait_until(lambda: bool(self.calls(number)), timeout_s=timeout_s), f"no call for {number}"
        return self.calls(number)[0]

    def heard_s(self, number: str) -> float:
        """For how many seconds sound was sent in the calls to a number."""
        return self._spoken_s.get(number, 0.0)

    def silences(self, number: str) -> list[tuple[float, float]]:
        """The pauses in the newest call to a number, in which no sound arrives and nothing is keyed: when each began
        by the steady clock, and for how long, in seconds.

        Measured by when packets come: what is not sent is silence too, unlike in a recording.
        """
        loud = self._loud_at_s.get(_media_port(self.calls(number)[-1]), [])
        return [(one, other - one) for one, other in itertools.pairwise(sorted(loud))]

    # --- its thread --------------------------------------------------------------------------------------------

    def _read(self) -> None:
        while not self._closing.is_set():
            data, peer = self._socket.recvfrom(_LONGEST)
            packet = Packet(data.decode(errors="replace"), peer)
            if self._silent or not packet.text.strip() or packet.method == "SIP/2.0":
                continue
            key = packet.header("Call-ID"), packet.header("CSeq")
            is_new = key not in self._seen
            if is_new:
                self._seen.add(key)
                self.received.append(packet)
            self._react(packet, is_new)

    def _react(self, packet: Packet, is_new: bool) -> None:
        if packet.method == "INVITE" and is_new:
            threading.Thread(target=self._play, args=(packet,), daemon=True).start()
        elif packet.method == "CANCEL":
            self._given_up.add(packet.header("Call-ID"))
            self._send(packet, Reply(200))
            for invite in self.calls(packet.number):
                if invite.header("Call-ID") == packet.header("Call-ID") and self._script.get(packet.number):
                    self._send(invite, Reply(487))
        elif packet.method not in ("ACK", "INVITE"):
            self._send(packet, Reply(200))

    def _play(self, invite: Packet) -> None:
        call_id = invite.header("Call-ID")
        for reply in self._script.get(invite.number, ()):
            if self._closing.wait(reply.after_s) or call_id in self._given_up:
                return
            self._send(invite, reply)
            if reply.status == 200 and self._speaks:
                self._speak(invite)

    def _listen(self) -> None:
        while not self._closing.is_set():
            data, (_, port) = self._sound.recvfrom(_LONGEST)
            if (
                data[12:]
                and data[1] & 0x7F == _PCMA
                and any((one ^ 0x55) & 0x70 >= _LOUD for one in data[12:])
            ):
                self._note_sound(port)

    def _note_sound(self, port: int) -> None:
        self._loud_at_s.setdefault(port, []).append(self._clock.monotonic_s())

    def _speak(self, invite: Packet) -> None:
        port = _media_port(invite)
        for n, (kind, began, body) in enumerate(self._frames(invite.number)):
            if self._silent or self._closing.wait(_FRAME_S):
                return
            if kind != _PCMA:
                self._note_sound(port)
            head = struct.pack("!BBHII", 0x80, kind, n & 0xFFFF, began * 160 & 0xFFFFFFFF, 4711)
            self._sound.sendto(head + body, ("127.0.0.1", port))
            self._spoken_s[invite.number] = n * _FRAME_S

    def _frames(self, number: str) -> Iterator[tuple[int, int, bytes]]:
        """The tone, and the digits to be keyed: payload type and marker, the frame that it began at, payload."""
        n = 0
        while True:
            if self._keys.get(number):
                digit = _KEYS.index(self._keys[number].popleft())
                for packet in range(8):  # the last three say that it is over
                    end = 0x8A if packet > 4 else 0x0A
                    yield (
                        _EVENT | (0 if packet else 0x80),
                        n,
                        struct.pack("!BBH", digit, end, min(packet, 5) * 160),
                    )
                n += 8
                pause = 5
            else:
                pause = 1
            for _ in range(pause):
                yield _PCMA, n, _SOUND
                n += 1

    def _send(self, request: Packet, reply: Reply) -> None:
        if self._silent or self._closing.is_set():
            return
        to = request.header("To")
        lines = [f"SIP/2.0 {reply.status} So it is", *request.lines("Via"), f"From: {request.header('From')}"]
        lines.append(f"To: {to}" if "tag=" in to or reply.status == 100 else f"To: {to};tag=carrier")
        lines += [f"Call-ID: {request.header('Call-ID')}", f"CSeq: {request.header('CSeq')}"]
        if reply.reason:
            lines.append(f"Reason: {reply.reason}")
        body = ""
        if request.method == "INVITE" and reply.status in (183, 200):
            lines += [f"Contact: <sip:carrier@127.0.0.1:{self.port}>", "Content-Type: application/sdp"]
            body = self._sdp()
        if reply.status in (401, 407):
            name = "WWW-Authenticate" if reply.status == 401 else "Proxy-Authenticate"
            lines.append(f'{name}: Digest realm="carrier", nonce="{len(self.received)}", algorithm=MD5')
        lines += [f"Content-Length: {len(body)}", "", body]
        self._socket.sendto("\r\n".join(lines).encode(), request.peer)

    def _sdp(self) -> str:
        port = self._sound.getsockname()[1]
        lines = ("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0")
        media = (f"m=audio {port} RTP/AVP 8 101", "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000")
        return "\r\n".join((*lines, *media, "a=sendrecv", ""))


def _media_port(invite: Packet) -> int:
    """Where the sound of a call goes, which is also where it comes from."""
    media = re.search(r"^m=audio (\d+) ", invite.text, re.MULTILINE)
    assert media is not None
    return int(media[1])
