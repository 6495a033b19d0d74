"""A telephone network made of a second Asterisk: scripted phones and missed calls over real SIP and RTP.

`start_network` starts both: the product's instance on `asterisk-conf/`, and this one as its only carrier.
"""

from __future__ import annotations

import secrets
import uuid
import wave
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stasis_callback.ari.client import AriClient
from stasis_callback.ari.errors import AriError
from stasis_callback.ari.events import (
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelStateChange,
    Event,
    StasisEnd,
    StasisStart,
)
from stasis_callback.ari.link import AriLink
from stasis_callback.clock import Clock, Inbox
from stasis_callback.resources import asterisk_conf_dir, sounds_dir
from stasis_callback.testing.asterisk import AsteriskInstance, AsteriskUnavailable, find_asterisk
from stasis_callback.testing.phones import (
    SECOND_TRUNK,
    UNALLOCATED,
    Line,
    Network,
    Phone,
    PhoneCall,
    Rejection,
)
from stasis_callback.testing.sip_trace import SipTrace

TRUNK = "trunk"
_PSTN_CONF = Path(__file__).resolve().parent / "pstn-conf"
_APP = "phones"
_RATE_HZ = 8000
# File types of sounds, the nearest to a telephone line first.
_SOUND_TYPES = ("alaw", "ulaw", "gsm", "sln", "wav", "g722", "sln16")


@dataclass(frozen=True)
class RealLine(Line):
    """A call at a phone of the second Asterisk."""

    client: AriClient
    channel_id: str
    channel_name: str
    instance: AsteriskInstance
    folder: Path

    def ring(self) -> None:
        """Send 180 Ringing."""
        self.client.channel(self.channel_id).ring()

    def answer(self) -> None:
        """Send 200 OK, unless the caller hangs up in this very moment: Asterisk's answer to that is 500."""
        try:
            self.client.channel(self.channel_id).answer()
        except AriError as error:
            if error.status != 500:
                raise

    def send_digits(self, digits: str) -> None:
        """Key digits (RFC 4733, 100 ms each with 100 ms between)."""
        self.client.channel(self.channel_id).send_dtmf(digits)

    def hang_up(self, cause: int = 16) -> None:
        """End the call with a Q.850 cause."""
        self.client.rest.command("DELETE", "channels", self.channel_id, params={"reason_code": str(cause)})

    def redirect(self, number: str) -> None:
        """Refuse with SIP 302."""
        target = {"endpoint": f"PJSIP/sip:{number}@127.0.0.1"}
        self.client.rest.command("POST", "channels", self.channel_id, "redirect", params=target)

    def record(self) -> Path:
        """Record what arrives over RTP, and only that; silence during which nothing arrives is left out.

        Asterisk may leave 160 ms out where this phone begins or ends speaking itself (both ways must keep in step).
        """
        recording = self.folder / f"{self.channel_id}.wav"
        target = self.instance.path_inside(recording)
        self.instance.cli(f"mixmonitor start {self.channel_name} ,r({target})")
        return recording

    def play(self, sound: str) -> None:
        """Send one of Asterisk's sounds to the other side."""
        self.client.channel(self.channel_id).play([f"sound:{sound}"], f"{self.channel_id}-{sound}")


class RealNetwork(Network):
    """The network and the product's Asterisk: `start_network` makes it ready for use."""

    trunk_name = TRUNK
    ari_app = "stasis-callback"
    key_s = 0.2  # ARI's usual: a tone of 100 ms, and 100 ms between

    def __init__(self, work_dir: Path, pjsip: str = "") -> None:
        super().__init__()
        self.product = _instance(work_dir / "product", "stasis-callback", asterisk_conf_dir())
        self.pstn = _instance(work_dir / "pstn", _APP, asterisk_conf_dir(), _PSTN_CONF)
        _connect(self.product, self.pstn, missed_calls=True)
        # Phones that say nothing send comfort noise, as real ones do: a line without any packets is a dead one.
        _connect(self.pstn, self.product, "rtp_keepalive = 1", missed_calls=False)
        self.product.local["pjsip.conf"] += pjsip
        # What the phones need beyond the product's configuration: to record, and to decode sounds (`hearing`).
        self.pstn.local["modules.conf"] = "[modules](+)\nload = app_mixmonitor.so\nload = res_convert.so\n"
        self._work_dir = work_dir
        (work_dir / "recordings").mkdir()
        self.trace = SipTrace(self.product, work_dir)
        self._clock = Clock()
        self._client = AriClient(self.pstn.ari_url, self.pstn.ari_username, self.pstn.ari_password, _APP)
        self._link = AriLink(
            self._client,
            on_unwatched=self._take,
            on_connected=lambda: None,
            on_lost=lambda reason: None,
            on_replaced=lambda: None,
        )
        self._calls: dict[str, tuple[Phone, PhoneCall]] = {}
        self._refusing = ThreadPoolExecutor(4)

    @property
    def ari_url(self) -> str:
        """Where the product's Asterisk answers ARI."""
        return self.product.ari_url

    @property
    def ari_username(self) -> str:
        """The ARI user of the product's Asterisk."""
        return self.product.ari_username

    @property
    def ari_password(self) -> str:
        """Its password, random for every network."""
        return self.product.ari_password

    @property
    def cel_path(self) -> Path:
        """The CEL journal of the product's Asterisk."""
        return self.product.cel_path

    def sounds(self, language: str) -> dict[str, Path]:
        """Every sound the product's Asterisk has in one of our languages, decoded to WAV files (for `Hearing`).

        By its name in a media URI (`en/digits/5`). Asterisk itself decodes, once per network; raises
        `AsteriskUnavailable` when it cannot.
        """
        return {
            name: self._decoded(name, suffix) for name, suffix in _sound_files(self._sounds, language).items()
        }

    def new_sound(self, name: str, pieces: Sequence[str | float]) -> str:
        """Make a sound that phones can say: English core sounds, and seconds of silence between them. Its name."""
        suffixes, samples = _sound_files(self._sounds, "en"), b""
        for piece in pieces:
            if isinstance(piece, str):
                with wave.open(str(self._decoded(f"en/{piece}", suffixes[f"en/{piece}"]))) as file:
                    samples += file.readframes(file.getnframes())
            else:
                samples += bytes(2 * round(piece * _RATE_HZ))
        made = self._sounds / "made"
        made.mkdir(exist_ok=True)
        with wave.open(str(made / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(_RATE_HZ)
            file.writeframes(samples)
        return f"made/{name}"

    @property
    def _sounds(self) -> Path:
        return self._work_dir / "pstn" / "data" / "sounds"

    def _decoded(self, name: str, suffix: str) -> Path:
        wav = self._work_dir / "decoded" / f"{name}.wav"
        if not wav.exists():
            wav.parent.mkdir(parents=True, exist_ok=True)
            source = f"{self.pstn.path_inside(self._sounds)}/{name}.{suffix}"
            answer = self.pstn.cli(f"file convert {source} {self.pstn.path_inside(wav)}")
            if not wav.exists():
                raise AsteriskUnavailable(f"Asterisk cannot decode {name}.{suffix}: {answer}")
        return wav

    def start(self) -> None:
        """Start both instances and connect the phones."""
        for instance in (self.product, self.pstn):
            instance.start()
        self.trace.start()
        self._link.start()
        if not self._link.wait_connected(10):
            raise AsteriskUnavailable("The telephone network's Asterisk does not answer ARI.")

    def repair(self) -> None:
        """Restore the product's Asterisk to its initial state, with the machine's clock."""
        if self.product.running and not self.product.environment:
            self.product.thaw()
            return
        self.product.stop()
        self.product.environment.clear()
        self.product.start()
        self.trace.start()

    def stop(self) -> None:
        """Stop everything that `start` started, however far it came."""
        self._link.stop()
        self._refusing.shutdown(cancel_futures=True)
        self._client.close()
        for instance in (self.product, self.pstn):
            instance.stop()

    def missed_call(self, *, ani: str, dnis: str, gives_up_after_s: float = 10.0) -> Rejection:
        """Ring the access number `dnis` from `ani` ("" = number withheld) and wait until the call ends."""
        channel_id = f"missed-{uuid.uuid4()}"
        inbox: Inbox[Event] = Inbox()
        self._link.watch(channel_id, inbox.put)
        started_s, answered = self._clock.monotonic_s(), False
        self._client.channels.originate(
            f"PJSIP/{dnis}@{TRUNK}",
            channel_id,
            app_args=["missed"],
            caller_id=ani,
            ring_timeout_s=max(1, round(gives_up_after_s)),
            variables={},
        )
        while event := inbox.get(gives_up_after_s + 5):
            if isinstance(event, StasisStart):
                answered = True
                self._client.channel(channel_id).hang_up()
            elif isinstance(event, ChannelDestroyed):
                self._link.unwatch(channel_id)
                took_s = self._clock.monotonic_s() - started_s
                return Rejection(event.cause, event.tech_cause, answered, took_s)
        raise AssertionError(
            f"the missed call to {dnis} has not ended {gives_up_after_s + 5} s after it began"
        )

    def _take(self, event: Event) -> None:
        """One event of the phones' application (on the reader's thread: nothing here may wait)."""
        if isinstance(event, StasisStart):
            self._offer(event)
        elif known := self._calls.get(event.channel_id or ""):
            phone, call = known
            if isinstance(event, ChannelStateChange) and event.state == "Up":
                phone.note(call, "answered", event.at_us)
            elif isinstance(event, ChannelDtmfReceived):
                phone.note_digit(call, event.digit)
            elif isinstance(event, StasisEnd):
                del self._calls[event.channel_id or ""]
                phone.note(call, "ended", event.at_us)

    def _offer(self, event: StasisStart) -> None:
        channel = event.channel
        line = RealLine(self._client, channel.id, channel.name, self.pstn, self._work_dir / "recordings")
        phone = self.phones.get(channel.exten.lstrip("+"))
        if phone is None:
            self._refusing.submit(line.hang_up, UNALLOCATED)
        else:
            self._calls[channel.id] = phone, phone.take(channel.caller_number, line)


@contextmanager
def start_network(work_dir: Path, pjsip: str = "") -> Iterator[RealNetwork]:
    """A running network in `work_dir`; nothing of it is left at the end. Raises `AsteriskUnavailable`.

    `pjsip` is for the product's local/pjsip.conf: further trunks.
    """
    network = RealNetwork(work_dir, pjsip)
    try:
        network.start()
        yield network
    finally:
        network.stop()


def _sound_files(sounds: Path, language: str) -> dict[str, str]:
    """The sounds behind the links that make up an instance's folder of a language: name and file type."""
    suffixes: dict[str, str] = {}
    for link in (sounds / language).iterdir():
        target = find_asterisk().outside(str(link.readlink().parent)) / link.name
        if link.name == "stasis-callback":
            target = sounds_dir() / language
        for file in [target] if target.is_file() else target.rglob("*.*"):
            name = str((link / file.relative_to(target)).relative_to(sounds).with_suffix(""))
            suffix = file.suffix[1:]
            if suffix in _SOUND_TYPES:
                suffixes[name] = min(suffix, suffixes.get(name, suffix), key=_SOUND_TYPES.index)
    return suffixes


def _instance(work_dir: Path, ari_user: str, *conf_dirs: Path) -> AsteriskInstance:
    work_dir.mkdir(parents=True, exist_ok=True)
    return AsteriskInstance(work_dir, conf_dirs, ari_user=ari_user, ari_password=secrets.token_urlsafe(24))


def _connect(
    instance: AsteriskInstance, peer: AsteriskInstance, endpoint: str = "", *, missed_calls: bool
) -> None:
    """Make `peer` the carrier of `instance`, as an operator does it in local/pjsip.conf: two trunks, one of which
    also brings calls. `endpoint` is a further line of their endpoints; `missed_calls`: nothing but those come.
    """
    incoming = f"{TRUNK}-in" if missed_calls else TRUNK
    for trunk in (TRUNK, SECOND_TRUNK):
        instance.local["pjsip.conf"] += f"""
[{trunk}](carrier)
aors = {trunk}
media_address = 127.0.0.1
bind_rtp_to_media_address = yes
{endpoint}

[{trunk}]
type = aor
contact = sip:127.0.0.1:{peer.sip_port}
qualify_frequency = 1
; On a busy machine the answer may come late: the carrier is there all the same, and no call over it may fail.
qualify_timeout = 20
"""
    if missed_calls:
        instance.local["pjsip.conf"] += f"""
[{incoming}](incoming)
media_address = 127.0.0.1
"""
    instance.local["pjsip.conf"] += f"""
[{TRUNK}]
type = identify
endpoint = {incoming}
match = 127.0.0.1
"""
