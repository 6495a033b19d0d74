"""Missed calls as carriers deliver them: INVITEs with headers of any kind, on a real Asterisk with the service.

The carrier is a raw UDP socket. Each row is one call; what is right is one final refusal without ringing, and the
numbers in E.164.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from world import ACCESS, ANI, FRIEND, World, new_world

from stasis_callback.admin.node.findings.of_asterisk import asterisk_findings
from stasis_callback.ari.console import ask
from stasis_callback.core.withheld import KEYED
from stasis_callback.settings import Settings
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.testing.phones import DECLINED, SECOND_TRUNK
from stasis_callback.testing.pstn import TRUNK, RealNetwork, start_network
from stasis_callback.testing.raw_caller import RawCaller, sdp
from stasis_callback.testing.sip_trace import SipMessage

pytestmark = pytest.mark.real

PIN_ACCESS, EITHER_ACCESS = "420800123457", "420800123458"
CALLED, BY_PIN, BY_EITHER = (f"sip:{number}@asterisk" for number in (ACCESS, PIN_ACCESS, EITHER_ACCESS))
CARRIER, UNCHECKED, LINE, REFUSED_LINE = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"
SILENT = "127.0.0.6:5060"


def _trunk(name: str, host: str, more: str = "") -> str:
    return f"""
[{name}-in](incoming)
media_address = 127.0.0.1
{more}
[{name}]
type = identify
endpoint = {name}-in
match = {host}
"""


def _registration(name: str, registrar: str) -> str:
    return f"""
[{name}-in](incoming)
media_address = 127.0.0.1

[{name}]
type = auth
auth_type = digest
username = account
password = secret

[{name}]
type = registration
transport = transport-udp
server_uri = sip:{registrar}
client_uri = sip:account@{registrar}
outbound_auth = {name}
endpoint = {name}-in
line = yes
max_random_initial_delay = 0
"""


def _outgoing(name: str, host: str, more: str = "") -> str:
    return f"""
[{name}](carrier)
aors = {name}
{more}
[{name}]
type = aor
contact = sip:{host}:9
qualify_frequency = 1
qualify_timeout = 0.5
"""


def _both(name: str, host: str) -> str:
    return _outgoing(name, host) + _trunk(name, host)


# What operators get wrong: how each trunk is broken, and what doctor says of it.
BROKEN = {
    "dead": (_both("dead", "127.0.0.7"), "trunk dead is unreachable: sip:127.0.0.7:9"),
    "endless": (
        _outgoing("endless", "127.0.0.8", "rtp_timeout = 0") + _trunk("endless", "127.0.0.8"),
        "PJSIP endpoint endless has no rtp_timeout:",
    ),
    "astray": (
        _both("astray", "127.0.0.9").replace("endpoint = astray-in", "endpoint = raw-in"),
        "identify section of trunk astray leads to endpoint raw-in",
    ),
    "narrow": (
        _both("narrow", "127.0.0.10").replace("endpoint = narrow-in", "endpoint = narrow"),
        "identify section of trunk narrow leads to endpoint narrow, which takes some codecs or transports only",
    ),
    "elsewhere": (
        _outgoing("elsewhere", "127.0.0.11") + _trunk("elsewhere", "192.0.2.1"),
        "identify section elsewhere does not match sip:127.0.0.11:9",
    ),
    "headless": (
        _both("headless", "127.0.0.12").replace("[headless-in]", "[other-in]"),
        "identify section of trunk headless leads to endpoint headless-in, which does not exist",
    ),
    "absent": ("", "PJSIP endpoint absent does not exist"),
}  # fmt: skip


class Carriers:
    """The network with carriers around it, and the service."""

    def __init__(self, world: World, network: RealNetwork, callers: dict[str, RawCaller]) -> None:
        self.world, self.network, self._callers = world, network, callers

    def __getitem__(self, host: str) -> RawCaller:
        return self._callers[host]

    def settings(self, console: Path | None = None) -> Settings:
        """Those of the service, with the control socket of this Asterisk, or another one."""
        path = console or self.network.product.console_path
        asterisk = self.world.settings.asterisk.model_copy(update={"console_path": path})
        return self.world.settings.model_copy(update={"asterisk": asterisk})

    def call(self, uri: str, host: str = CARRIER, **headers: Any) -> RequestView:
        """What became of a call that was refused as it should be, when that is over."""
        before = {request.id for request in self.world.stores.requests.newest(limit=500)}
        assert self[host].calls(uri, **headers) == [100, 486]

        def new() -> list[RequestView]:
            found = self.world.stores.requests.newest(limit=5)
            return [r for r in found if r.id not in before and r.state in ("done", "refused")]

        self.world.until(lambda: bool(new()))
        assert len(new()) == 1
        return new()[0]


@pytest.fixture(scope="module")
def carriers(tmp_path_factory: pytest.TempPathFactory, real_network: RealNetwork) -> Iterator[Carriers]:
    """`real_network` only skips where there is no Asterisk; carriers need trunks of their own."""
    with ExitStack() as stack:
        callers = {
            host: stack.enter_context(RawCaller(host)) for host in (CARRIER, UNCHECKED, LINE, REFUSED_LINE)
        }
        callers[REFUSED_LINE].registrar_says = 403
        pjsip = "".join(
            [
                _trunk("raw", CARRIER),
                _trunk("unchecked", UNCHECKED, "trust_id_inbound = no"),
                _registration("line", callers[LINE].address),
                _registration("refused", callers[REFUSED_LINE].address),
                _registration("silent", SILENT),
                *(sections for sections, _ in BROKEN.values()),
            ]
        )
        network = stack.enter_context(start_network(tmp_path_factory.mktemp("carriers"), pjsip))
        for caller in callers.values():
            caller.asterisk_port = network.product.sip_port
        world = stack.enter_context(new_world(network, tmp_path_factory.mktemp("world")))
        world.two_trunks(cheap={"number_rules": ""})
        world.stores.trunks.add("raw", vendor="carrier", tariff=f"cost of {TRUNK}")
        for other in (
            "raw",
            SECOND_TRUNK,
        ):  # it would carry the calls while a trunk that refuses so many rests
            world.stores.trunks.change(other, enabled=False)
        world.usual(dedupe_window_s="0", announce_balance="off", announce_duration="off")
        world.account("house")
        world.account("44999")
        for number, mode in ((PIN_ACCESS, "pin"), (EITHER_ACCESS, "ani_then_pin")):
            world.access_number(number, authentication=mode, internal_account="house", dedupe_window_s="0")
        stack.enter_context(world.running())
        yield Carriers(world, network, callers)


@pytest.fixture(autouse=True)
def _as_shipped(carriers: Carriers) -> None:
    options = ("numbers", "called_in", "caller_in", "caller_out", "identity", "called_from", "attestation")
    blank = dict.fromkeys(options, "")
    for trunk in ("raw", TRUNK):
        carriers.world.stores.trunks.change(trunk, number_form=blank, number_rules="")
    carriers.world.phone().forget().refuses(DECLINED)
    carriers.world.phone(FRIEND).forget()


OURS = f"<sip:{ANI}@carrier.example>"
MAIN = "<sip:+33123456789@carrier.example>"
_NO_ONE = "P-Asserted-Identity: <sip:x@y>"
ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'
AES_256 = "a=crypto:1 AES_256_CM_HMAC_SHA1_80"
FINGERPRINT = f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}"
CRYPTO = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}"

# What is unusual about the call, and how its trunk is set.
CALLED_BACK: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("as shipped", {}, {}),
    ("called number with plus", {"uri": f"sip:+{ACCESS}@asterisk"}, {}),
    ("escaped plus", {"uri": f"sip:%2B{ACCESS}@asterisk"}, {}),
    ("called number with 00", {"uri": f"sip:00{ACCESS}@asterisk"}, {}),
    ("routing parameters", {"uri": f"sip:{ACCESS};npdi;rn=+420900000000@asterisk"}, {}),
    ("routing parameters after a plus", {"uri": f"sip:+{ACCESS};rn=+420900000000;npdi@asterisk;user=phone"}, {}),
    ("subaddress", {"uri": f"sip:{ACCESS};isub=5678@asterisk"}, {}),
    ("phone-context of a number that has it", {"uri": f"sip:{ACCESS};phone-context=+420@asterisk"}, {}),
    ("phone-context", {"uri": "sip:800123456;phone-context=+420@asterisk"}, {}),
    ("tel URI", {"uri": f"tel:+{ACCESS}"}, {}),
    ("tel URI with a context", {"uri": "tel:800123456;phone-context=+420"}, {}),
    ("registration contact", {"uri": "sip:s@asterisk", "to": f"<sip:{ACCESS}@asterisk>"}, {}),
    ("registration contact, plus in To", {"uri": "sip:s@asterisk", "to": f'"Us" <sip:+{ACCESS}@asterisk>'}, {}),
    ("contact is a word", {"uri": "sip:trunk@asterisk", "to": f"<sip:{ACCESS}@asterisk>"}, {}),
    ("contact is a word, as is To", {"uri": "sip:trunk@asterisk"}, {"called_in": f"s/^trunk$/{ACCESS}/"}),
    ("contact with letters and digits", {"uri": "sip:a7001.x@asterisk", "to": f"tel:+{ACCESS}"}, {}),
    ("area code in brackets", {"uri": "sip:(420)800-123-456@asterisk"}, {}),
    ("no user at all", {"uri": "sip:asterisk", "to": f"<sip:{ACCESS}@asterisk>"}, {}),
    ("contact is an account", {"uri": "sip:7001@asterisk", "to": f"<sip:{ACCESS}@asterisk>"}, {"called_from": "to"}),
    ("national called number", {"uri": "sip:800123456@asterisk"}, {"numbers": "national:CZ"}),
    ("international on a national trunk", {"uri": f"sip:00{ACCESS}@asterisk"}, {"numbers": "national:CZ"}),
    ("E.164 on a national trunk", {"uri": f"sip:{ACCESS}@asterisk"}, {"numbers": "national:CZ"}),
    ("a carrier's prefix", {"uri": f"sip:99{ACCESS}@asterisk"}, {"called_in": "s/^99//"}),
    ("last digits only", {"uri": "sip:3456@asterisk"}, {"called_in": "s/^(3456)$/42080012$1/"}),
    ("caller with plus", {"from_": f"<sip:+{ANI}@carrier.example>"}, {}),
    ("caller with an escaped plus", {"from_": f"<sip:%2B{ANI}@carrier.example;user=phone>"}, {}),
    ("caller with 00", {"from_": f"<sip:00{ANI}@carrier.example>"}, {}),
    ("caller with separators", {"from_": "<sip:+420-212.345.678@carrier.example>"}, {}),
    ("caller as a bare address", {"from_": f"sip:{ANI}@carrier.example"}, {}),
    ("caller as a tel URI", {"from_": f"<tel:+{ANI};ext=1>"}, {}),
    ("a name with a comma and brackets", {"from_": f'"Nov\\"ak, <Jan>), ($" <sip:{ANI}@carrier.example>'}, {}),
    ("national caller with context", {"from_": "<sip:212345678;phone-context=+420@carrier.example>"}, {}),
    ("national caller", {"from_": "<sip:212345678@carrier.example>"}, {"numbers": "national:CZ"}),
    ("caller by a rule", {"from_": "<sip:0212345678@carrier.example>"}, {"caller_in": "s/^0/420/"}),
    ("our number in PAI", {"from_": MAIN, "headers": [f"P-Asserted-Identity: {OURS}"]}, {}),
    ("main number in PAI", {"headers": [f"P-Asserted-Identity: {MAIN}"]}, {"identity": "from"}),
    ("From first, withheld", {"from_": ANONYMOUS, "headers": [f"P-Asserted-Identity: {OURS}"]}, {"identity": "from"}),
    ("two identities", {"from_": MAIN, "headers": [f"P-Asserted-Identity: <sip:+{ANI}@x>, <tel:+{ANI}>"]}, {}),
    ("tel first", {"from_": MAIN, "headers": [f"P-Asserted-Identity: <tel:+{ANI}>, <sip:+{ANI}@x>"]}, {}),
    ("2 headers", {"from_": MAIN, "headers": ["P-Asserted-Identity: <sip:x@y>", f"P-Asserted-Identity:{OURS}"]}, {}),
    ("Remote-Party-ID", {"from_": MAIN, "headers": [f"Remote-Party-ID: {OURS};party=calling;privacy=off"]}, {}),
    ("RPID of the called", {"headers": [f"Remote-Party-ID: <sip:{ACCESS}@x>;party=called"]}, {}),
    ("3 headers", {"from_": MAIN, "headers": [*2 * [_NO_ONE], f"P-Asserted-Identity: {OURS}"]}, {}),
    ("Privacy: id", {"from_": ANONYMOUS, "headers": [f"P-Asserted-Identity: {OURS}", "Privacy: id"]}, {}),
    ("RPID privacy", {"from_": ANONYMOUS, "headers": [f"Remote-Party-ID: {OURS};privacy=full"]}, {}),
    ("the name of an unknown caller", {"from_": f'"Unavailable" <sip:{ANI}@carrier.example>'}, {}),
    ("no offer", {"body": ""}, {}),
    ("alaw", {"body": sdp("audio 4000 RTP/AVP 8")}, {}),
    ("G.729", {"body": sdp("audio 4000 RTP/AVP 18", "a=rtpmap:18 G729/8000")}, {}),
    ("AMR", {"body": sdp("audio 4000 RTP/AVP 96", "a=rtpmap:96 AMR/8000")}, {}),
    ("SRTP only", {"body": sdp("audio 4000 RTP/SAVP 8", CRYPTO)}, {}),
    ("SRTP with G.729 only", {"body": sdp("audio 4000 RTP/SAVP 18", CRYPTO)}, {}),
    ("AVPF", {"body": sdp("audio 4000 RTP/AVPF 8")}, {}),
    ("SAVPF", {"body": sdp("audio 4000 RTP/SAVPF 8", CRYPTO)}, {}),
    ("AES-256", {"body": sdp("audio 4000 RTP/SAVP 8", f"{AES_256} inline:{'A' * 61}==")}, {}),
    ("AES-256 GCM", {"body": sdp("audio 4000 RTP/SAVP 8", f"a=crypto:1 AEAD_AES_256_GCM inline:{'A' * 58}==")}, {}),
    ("unencrypted SRTP", {"body": sdp("audio 4000 RTP/SAVP 8", f"{CRYPTO} UNENCRYPTED_SRTP")}, {}),
    ("DTLS", {"body": sdp("audio 4000 UDP/TLS/RTP/SAVPF 8", "a=setup:actpass", FINGERPRINT)}, {}),
    ("fax beside sound", {"body": sdp("audio 4000 RTP/AVP 8", "m=image 4002 udptl t38")}, {}),
    ("100rel required", {"headers": ["Require: 100rel"], "body": sdp("audio 4000 RTP/AVP 8")}, {}),
    ("session timer required", {"headers": ["Require: timer", "Session-Expires: 1800"]}, {}),
    ("video only", {"body": sdp("video 4000 RTP/AVP 99", "a=rtpmap:99 H264/90000")}, {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "form"), [row[1:] for row in CALLED_BACK], ids=[row[0] for row in CALLED_BACK]
)
def test_the_caller_is_called_back(carriers: Carriers, headers: dict[str, Any], form: dict[str, str]) -> None:
    if form:
        carriers.world.stores.trunks.change("raw", number_form=form)
    request = carriers.call(**{"uri": CALLED, **headers})
    assert (request.outcome, request.ani, request.dnis) == ("rejected", ANI, ACCESS)
    assert request.leg_a_number == ANI


def _passport(attest: str, number: str) -> str:
    """The header of a signed call, whose signature is of nobody."""
    header = {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": "https://certificates.example/1.pem"}
    claims = {"attest": attest, "dest": {"tn": [ACCESS]}, "iat": 1_795_000_000, "orig": {"tn": number}}
    parts = (urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims))
    token = ".".join([*parts, "c2lnbmF0dXJl"])
    return f"{token};info=<https://certificates.example/1.pem>;alg=ES256;ppt=shaken"


_PASSED = f"P-Asserted-Identity: <sip:+{ANI};verstat=TN-Validation-Passed@x>"
ATTESTED: list[tuple[str, list[str], dict[str, str], str]] = [
    ("nothing", [], {}, ""),
    ("verstat", [_PASSED], {}, "A"),
    ("verstat and the level beside", [_PASSED, "P-Attestation-Indicator: B"], {}, "B"),
    ("the level alone, which a caller may have written", ["P-Attestation-Indicator: A"], {}, ""),
    ("named", ["P-Attestation-Indicator: C"], {"attestation": "P-Attestation-Indicator"}, "C"),
    ("a carrier's own", ["X-Twilio-VerStat: TN-Validation-Passed-B"], {"attestation": "x-twilio-verstat"}, "B"),
    ("not named", ["X-Twilio-VerStat: TN-Validation-Passed-A"], {}, ""),
    ("named and not there", [_PASSED], {"attestation": "X-Twilio-VerStat"}, "A"),
    ("a token that nobody verified", [f"Identity: {_passport('A', ANI)}"], {}, ""),
    ("a token of a carrier who has", [f"Identity: {_passport('B', ANI)}"], {"attestation": "Identity"}, "B"),
    ("a token of another call", [f"Identity: {_passport('A', '1')}"], {"attestation": "Identity"}, "failed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "form", "attestation"), [row[1:] for row in ATTESTED], ids=[row[0] for row in ATTESTED]
)
def test_what_the_carrier_says_of_the_callers_number_is_stored(
    carriers: Carriers, headers: list[str], form: dict[str, str], attestation: str
) -> None:
    if form:
        carriers.world.stores.trunks.change("raw", number_form=form)
    assert carriers.call(CALLED, headers=headers).attestation == attestation


WITHHELD = [
    ("anonymous", {"from_": ANONYMOUS}),
    ("anonymous at the carrier", {"from_": "<sip:Anonymous%20@carrier.example>"}),
    ("withheld", {"from_": "<sip:withheld@carrier.example>"}),
    ("blocked", {"from_": '"Blocked" <sip:blocked@carrier.example>'}),
    ("no number", {"from_": "<sip:carrier.example>"}),
    ("both", {"from_": ANONYMOUS, "headers": ["P-Asserted-Identity: <sip:restricted@x>", "Privacy: id"]}),
    *((f"+{digits}", {"from_": f"<sip:+{digits}@carrier.example>"}) for digits in sorted(KEYED)),
    ("1266696687", {"from_": "<sip:1266696687@carrier.example>"}),
]  # fmt: skip


@pytest.mark.parametrize("access", [ACCESS, PIN_ACCESS, EITHER_ACCESS], ids=["ani", "pin", "ani then pin"])
@pytest.mark.parametrize("headers", [row[1] for row in WITHHELD], ids=[row[0] for row in WITHHELD])
def test_a_withheld_number_is_withheld_in_every_mode(
    carriers: Carriers, access: str, headers: dict[str, Any]
) -> None:
    request = carriers.call(f"sip:{access}@asterisk", **headers)
    assert (request.outcome, request.leg_a_number) == ("no_ani", "")


OTHERS = [
    ("main number in PAI, PAI first", CARRIER, {"headers": [f"P-Asserted-Identity: {MAIN}"]}, "unknown_account"),
    ("unchecked", UNCHECKED, {"from_": MAIN, "headers": [f"P-Asserted-Identity: {OURS}"]}, "unknown_account"),
    ("a name", CARRIER, {"from_": "<sip:alice@carrier.example>"}, "bad_ani"),
    ("emergency caller", CARRIER, {"from_": "<sip:112@carrier.example>"}, "unknown_account"),
    ("112 in PIN mode", CARRIER, {"uri": BY_PIN, "from_": "<sip:112@carrier.example>"}, "emergency_number"),
    ("911 in PIN mode", CARRIER, {"uri": BY_PIN, "from_": "<sip:+911@carrier.example>"}, "emergency_number"),
    ("420112 by ANI or PIN", CARRIER, {"uri": BY_EITHER, "from_": "<sip:+420112@c>"}, "emergency_number"),
    ("emergency caller with an account", CARRIER, {"from_": "<sip:+44999@carrier.example>"}, "emergency_number"),
    ("another number", CARRIER, {"uri": "sip:+420800999999@asterisk"}, "unknown_access_number"),
    ("a word", CARRIER, {"uri": "sip:sales@asterisk"}, "unknown_access_number"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "headers", "reason"), [row[1:] for row in OTHERS], ids=[row[0] for row in OTHERS]
)
def test_others_are_refused_for_a_reason(
    carriers: Carriers, host: str, headers: dict[str, Any], reason: str
) -> None:
    request = carriers.call(**{"uri": CALLED, "host": host, **headers})
    assert request.outcome == reason
    assert request.leg_a_number == ""


NOT_LOOKED_AT = {
    "fax alone": sdp("image 4000 udptl t38", "a=T38FaxVersion:0"),
    "comfort noise alone": sdp("audio 4000 RTP/AVP 13"),
    "a codec that Asterisk does not know": sdp("audio 4000 RTP/AVP 96", "a=rtpmap:96 GSM-EFR/8000"),
    "declined sound": sdp("audio 0 RTP/AVP 8"),
}
"""Asterisk refuses them before its dialplan; docs/guides/trunks-and-routing.md says so."""


@pytest.mark.parametrize("body", NOT_LOOKED_AT.values(), ids=NOT_LOOKED_AT)
def test_what_asterisk_refuses_itself(carriers: Carriers, body: str) -> None:
    assert carriers[CARRIER].calls(CALLED, body=body) == [100, 488]


# --- what goes out -------------------------------------------------------------------------------------------------


def _talk(carriers: Carriers, **headers: Any) -> tuple[SipMessage, SipMessage]:
    """A missed call that ends in a talk: the INVITEs of leg A and leg B."""
    world = carriers.world
    subscriber = world.phone().forget().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).forget().answers()
    began_us, calls = world.service_clock_us(), len(friend.calls)
    assert carriers[CARRIER].calls(CALLED, **headers) == [100, 486]
    friend.wait_for("answered", call=calls + 1, timeout_s=30)
    subscriber.hang_up()
    world.until(lambda: not world.call_threads())
    sent = [m for m in carriers.network.trace.messages() if m.sent and m.at_us >= began_us]
    leg_a, leg_b = (m for m in sent if m.method == "INVITE" and m.status is None)
    return leg_a, leg_b


@pytest.mark.parametrize(
    "headers",
    [
        {"from_": ANONYMOUS, "headers": [f"P-Asserted-Identity: {OURS}", "Privacy: id"]},
        {"headers": [f"Remote-Party-ID: {OURS};privacy=full"]},
        {"from_": "<sip:266696687@carrier.example>", "headers": [f"P-Asserted-Identity: {OURS}"]},
        {"headers": ["Privacy: critical", "Privacy: id"]},
        {"headers": [f"Remote-Party-ID: {OURS};privacy=off", f"Remote-Party-ID: {OURS};privacy=full"]},
    ],
    ids=["Privacy", "RPID", "withheld in digits", "second Privacy", "second RPID"],
)
def test_a_private_callers_number_is_nowhere_in_what_leg_b_gets(
    carriers: Carriers, headers: dict[str, Any]
) -> None:
    _, leg_b = _talk(carriers, **headers)
    assert leg_b.from_number == "anonymous"
    assert ANI not in leg_b.text
    assert ANI[3:] not in leg_b.text


@pytest.mark.parametrize(
    ("form", "numbers"),
    [
        ({"numbers": "+e164"}, (f"+{ANI}", f"+{ACCESS}", f"+{FRIEND}", f"+{ANI}")),
        ({"numbers": "national:CZ"}, ("212345678", "800123456", f"00{FRIEND}", "212345678")),
        (
            {"numbers": "+e164", "caller_out": "s/^.420//"},
            (f"+{ANI}", "800123456", f"+{FRIEND}", "212345678"),
        ),
    ],
    ids=["+e164", "national", "own rules"],
)
def test_numbers_go_out_in_the_form_of_the_trunk(
    carriers: Carriers, form: dict[str, str], numbers: tuple[str, ...]
) -> None:
    carriers.world.stores.trunks.change(TRUNK, number_form=form)
    phones = carriers.network.phones  # a national trunk leads to the same people
    phones["212345678"], phones[f"00{FRIEND}"] = carriers.world.phone(), carriers.world.phone(FRIEND)
    leg_a, leg_b = _talk(carriers)
    assert (leg_a.to_number, leg_a.from_number, leg_b.to_number, leg_b.from_number) == numbers


# --- trunks that register ------------------------------------------------------------------------------------------


def test_a_trunk_that_registers_brings_missed_calls_to_its_contact(carriers: Carriers) -> None:
    world, line = carriers.world, carriers[LINE]
    subscriber = world.phone().forget().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    calls = len(friend.calls)
    assert line.calls(line.wait_registered(), to=f"<sip:+{ACCESS}@{line.address}>") == [100, 486]
    friend.wait_for("answered", call=calls + 1, timeout_s=30)
    subscriber.hang_up()
    world.until(lambda: not world.call_threads())
    assert world.stores.requests.newest(limit=1)[0].outcome == "completed"


def test_doctor_says_which_trunks_are_registered(carriers: Carriers) -> None:
    settings = carriers.settings()

    def found() -> dict[str, str]:
        findings = [one for one in asterisk_findings(settings, []) if "registered" in one.what]
        return {one.what.split()[1]: f"{one.level}: {one.what}" for one in findings}

    line, refused = (f"sip:{carriers[host].address}" for host in (LINE, REFUSED_LINE))
    carriers.world.until(lambda: "rejected" in found()["refused"] and found()["line"].startswith("ok"))
    said = found()
    assert said.pop("silent").startswith(f"problem: trunk silent is not registered: sip:{SILENT} ")
    rejected = "has rejected the registration, or did not answer it"
    assert said == {
        "line": f"ok: trunk line is registered at {line}",
        "refused": f"problem: trunk refused is not registered: {refused} {rejected}",
    }


def test_doctor_finds_what_is_wrong_with_a_trunk(carriers: Carriers) -> None:
    settings = carriers.settings()

    def missed() -> dict[str, str]:
        found = [one.what for one in asterisk_findings(settings, BROKEN)]
        return {name: said for name, (_, said) in BROKEN.items() if not any(said in what for what in found)}

    carriers.world.until(lambda: missed() == {})


def test_doctor_says_when_it_may_not_ask(carriers: Carriers, tmp_path: Path) -> None:
    settings = carriers.settings(tmp_path / "none")
    said = [one.what for one in asterisk_findings(settings, ["line", TRUNK]) if one.level == "warning"]
    assert [what for what in said if "could not ask" in what] == [
        f"could not ask Asterisk whether trunk line is registered: {tmp_path}/none: No such file or directory"
    ]


def test_doctor_says_what_is_missing_in_the_dialplan(carriers: Carriers) -> None:
    console = carriers.network.product.console_path
    settings = carriers.settings()

    def problems() -> list[str]:
        found = asterisk_findings(settings, ["line"], checks_answers=True)
        return [one.what for one in found if "context" in one.what]

    assert problems() == []
    try:
        for context in ("from-trunk", "no-forward", "answer-check"):
            ask(console, f"dialplan remove context {context}")
        assert problems() == [
            "calls from trunk line come to context from-trunk, which does not lead to stasis-callback",
            "the dialplan has no context no-forward: a phone could send leg A or leg B elsewhere",
            "the dialplan has no context answer-check: persons and voicemail cannot be told apart (answer_check=amd)",
        ]
    finally:
        ask(console, "dialplan reload")
        carriers.world.until(lambda: problems() == [])
