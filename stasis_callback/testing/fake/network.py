"""The telephone network behind a fake Asterisk: scripted phones, and missed calls to access numbers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from stasis_callback.testing.phones import Line, Network, Phone, Rejection, State

from .core import Core
from .model import SIP_BY_CAUSE, Channel
from .server import FakeAsterisk

_CONGESTION = 34
_OFFERS = 8
_DIALPLAN_FUSE_S = 60
SOUNDS_S = {"vm-goodbye": 0.7, "hello-world": 1.0, "demo-congrats": 30.0, "silence/9": 0.0}
"""The sounds that phones speak, of Asterisk's own, and how much speech that is."""


def _args(channel: Channel, dnis: str) -> str:
    """What the dialplan hands over of a call: the number, and the headers of its INVITE."""
    headers = {
        "uri": f"sip:{quote(dnis, safe='+')}@127.0.0.1:5060",
        "from": f"<sip:{quote(channel.caller_number or 'anonymous', safe='+')}@127.0.0.1>",
        "trusted": "true",
    }
    passed = (f"{name}={quote(text, safe='')}" for name, text in headers.items())
    return ",".join(["missed", re.sub(r"[^+0-9]", "", dnis), *passed])


class FakeLine(Line):
    """The far end of one outgoing channel. Methods may be called from any thread and after the end."""

    def __init__(self, fake: Core, channel: Channel) -> None:
        self._fake, self._channel = fake, channel
        self._keypad = asyncio.Lock()

    def ring(self) -> None:
        """Send 180 Ringing."""
        self._do(lambda: self._fake.switch.far_rings(self._channel))

    def answer(self) -> None:
        """Send 200 OK."""
        self._do(lambda: self._fake.switch.far_answers(self._channel))

    def send_digits(self, digits: str) -> None:
        """Key digits, one every `digit_s` seconds."""

        async def key() -> None:
            async with self._keypad:
                for digit in digits:
                    await asyncio.sleep(self._fake.digit_s)
                    self._fake.switch.far_keys(self._channel, digit)

        self._do(lambda: self._fake.switch.task(key()))

    def hang_up(self, cause: int = 16) -> None:
        """End the call; before the answer this refuses it with the Q.850 cause."""
        self._do(lambda: self._fake.switch.far_ends(self._channel, cause))

    def play(self, sound: str) -> None:
        """Speak; the fake has no sound, but knows how long that takes."""
        self._do(lambda: self._fake.switch.far_speaks(self._channel, SOUNDS_S[sound]))

    def redirect(self, number: str) -> None:
        """Refuse with SIP 302 towards `number`."""
        self._do(lambda: self._fake.switch.far_redirects(self._channel, number))

    def _do(self, act: Callable[[], None]) -> None:
        self._fake.soon(act)


class PhoneNetwork:
    """The phones behind a fake Asterisk, as its switch sees them. Numbers without a phone are unallocated (404, cause
    1).
    """

    def __init__(self, core: Core, phones: dict[str, Phone]) -> None:
        self.phones, self._core = phones, core
        core.switch.network = self

    async def ring(self, ani: str, dnis: str, gives_up_after_s: float) -> Rejection:
        """The same, in Asterisk's own loop."""
        switch, loop = self._core.switch, asyncio.get_running_loop()
        began_s = loop.time()
        channel = switch.new_channel(switch.new_id(), "incoming", state="Ring")
        channel.caller_number, channel.exten = ani, dnis
        switch.set_variable(channel, "TIMEOUT(absolute)", str(_DIALPLAN_FUSE_S))
        try:
            async with asyncio.timeout(gives_up_after_s):
                await self._run_dialplan(channel, dnis)
                await channel.ended.wait()
        except TimeoutError:
            switch.far_ends(channel, 16)
        answered = channel.answered_us is not None
        sip_status = SIP_BY_CAUSE.get(channel.cause, 603)
        return Rejection(channel.cause, None if answered else sip_status, answered, loop.time() - began_s)

    async def _run_dialplan(self, channel: Channel, dnis: str) -> None:
        """As asterisk-conf/extensions.conf: the call waits for an application that is away, then is congested."""
        switch = self._core.switch
        for _ in range(1 + _OFFERS):
            if channel.gone or switch.enter_stasis(channel, switch.app, _args(channel, dnis)):
                return
            await asyncio.sleep(1)
        switch.end(channel, _CONGESTION)

    # --- called by the switch: its `FarEnds` -----------------------------------------------------------------

    def offer(self, channel: Channel, caller_id: str) -> bool:
        phone = self.phones.get(channel.dial_string.partition("@")[0].lstrip("+"))
        if phone is None:
            return False
        channel.line, channel.phone = FakeLine(self._core, channel), phone
        channel.phone_call = phone.take(caller_id, channel.line)
        return True

    def heard(self, channel: Channel, state: State) -> None:
        if channel.phone is not None and channel.phone_call is not None:
            channel.phone.note(channel.phone_call, state)
        elif channel.kind == "incoming" and state == "answered":  # who leaves a missed call hangs up at once
            self._core.soon(lambda: self._core.switch.far_ends(channel, 16))

    def heard_digit(self, channel: Channel, digit: str) -> None:
        if channel.phone is not None and channel.phone_call is not None:
            channel.phone.note_digit(channel.phone_call, digit)


class FakeNetwork(PhoneNetwork, Network):
    """Phones reached over the trunk of a `FakeAsterisk`."""

    def __init__(self, fake: FakeAsterisk) -> None:
        self.fake = fake
        self.key_s = fake.digit_s
        PhoneNetwork.__init__(self, fake, {})

    @property
    def ari_url(self) -> str:
        """Base address of ARI."""
        return self.fake.url

    @property
    def ari_username(self) -> str:
        """User name for ARI."""
        return self.fake.username

    @property
    def ari_password(self) -> str:
        """Password for ARI."""
        return self.fake.password

    @property
    def ari_app(self) -> str:
        """The application the dialplan hands missed calls to."""
        return self.fake.app

    @property
    def cel_path(self) -> Path:
        """The CEL journal."""
        return self.fake.cel_path

    @property
    def trunk_name(self) -> str:
        """The trunk of dial strings: `PJSIP/<number>@<trunk>`."""
        return self.fake.trunk

    def missed_call(self, *, ani: str, dnis: str, gives_up_after_s: float = 10.0) -> Rejection:
        """Ring the access number `dnis` from `ani` ("" = no caller id) and wait until the call ends."""
        return self.fake.run(self.ring(ani, dnis, gives_up_after_s))
