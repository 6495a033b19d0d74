"""Who may ask: forged senders, results of foreign servers, signatures that are bad, and those that are good."""

from __future__ import annotations

import socketserver
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import dkim
import dns.flags
import dns.message
import dns.rrset
import pytest
from mail_site import ACCOUNT, ADDRESS, OURS, SENDER, MailSite, mail, open_mail_site

from stasis_callback.clock import wait_until
from stasis_callback.mail import policy

FOREIGN = "mx.evil.example; dmarc=pass header.from=people.example"


@pytest.mark.parametrize(
    "results",
    [
        f"{OURS}; dmarc=pass (p=reject dis=none) header.from=people.example",
        f"{OURS} 1; dmarc=pass header.from=mail.people.example",
        f"{OURS.upper()}; dkim=pass header.d=people.example header.s=x; spf=fail smtp.mailfrom=x@evil.example",
        f"{OURS}; dkim=fail header.d=people.example; dkim=pass header.i=@news.people.example",
        f"{OURS}; spf=pass smtp.mailfrom=bounce@people.example",
        f"{OURS};\r\n\tspf=pass smtp.mailfrom=people.example;\r\n\tdkim=none",
    ],
)
def test_what_our_server_found_proven_is_believed(site: MailSite, results: str) -> None:
    site.usual()
    site.taken(mail(Authentication_Results=results))
    assert len(site.callbacks()) == 1


@pytest.mark.parametrize(
    "results",
    [
        None,
        FOREIGN,
        f"{OURS}.evil.example; dmarc=pass header.from=people.example",
        f"evil.example; x={OURS}; dmarc=pass header.from=people.example",
        f"(comment) {OURS}; dmarc=pass header.from=people.example",
        OURS,
        f"{OURS}; none",
        f"{OURS}; dmarc=fail header.from=people.example",
        f"{OURS}; dmarc=pass header.from=evil.example",
        f"{OURS}; dmarc=pass header.from=people.example.evil.example",
        f"{OURS}; dmarc=pass header.from=example",
        f"{OURS}; dmarc=pass",
        f"{OURS}; dmarc=fail header.from=people.example; dkim=pass header.d=people.example",
        f"{OURS}; dkim=pass header.d=evil.example",
        f"{OURS}; dkim=pass (header.d=people.example) header.d=evil.example",
        f'{OURS}; dkim=pass reason="header.d=people.example" header.d=evil.example',
        f"{OURS}; dkim=pass header.d=evil.example header.i=x@people.example",
        f"{OURS}; dkim=neutral header.d=people.example",
        f"{OURS}; spf=pass smtp.mailfrom=x@evil.example",
        f"{OURS}; spf=pass smtp.helo=people.example",
        f"{OURS}; auth=pass smtp.auth=ann@people.example",
        f"{OURS}; {'(' * 900}",
        f"{OURS}; dmarc=pass header.from=people.example; \0",
        f"{OURS} 2; dmarc=pass header.from=people.example",
    ],
)
def test_nothing_else_is_believed(site: MailSite, results: str | None) -> None:
    site.usual(reply="on")
    site.taken(mail(Authentication_Results=results))
    assert site.callbacks() == []
    assert site.replies() == [], "nobody answers to a sender that may be forged"
    site.is_unharmed()


def test_only_the_topmost_of_our_results_counts(site: MailSite) -> None:
    site.usual()
    failed = f"Authentication-Results: {OURS}; dmarc=fail header.from=people.example\r\n".encode()
    site.taken(failed + mail())
    assert site.callbacks() == []
    site.taken(f"Authentication-Results: {FOREIGN}\r\n".encode() + mail())
    assert len(site.callbacks()) == 1


def test_without_a_name_of_our_server_nobody_is_believed(tmp_path: Path) -> None:
    with open_mail_site(tmp_path, authserv_id="") as site:
        site.usual()
        site.taken(mail())
        site.taken(mail(Authentication_Results="; dmarc=pass header.from=people.example"))
        assert site.reasons() == ["not_proven"] * 2


@pytest.mark.parametrize(
    "sender",
    [
        None,
        "",
        "nobody",
        f"{SENDER}, eve@evil.example",
        f"eve@evil.example <{SENDER}>",
        f"{SENDER} (eve@evil.example), x@y.example",
        '"a b"@people.example',
        f"{SENDER}\r\nFrom: eve@evil.example",
        "@people.example",
        "x@",
        "x@[127.0.0.1]",
    ],
)
def test_a_mail_has_exactly_one_sender(site: MailSite, sender: str | None) -> None:
    site.usual()
    site.taken(mail(From=sender))
    assert site.callbacks() == []
    assert site.reasons() == ["bad_sender"]


def test_a_name_that_looks_like_a_sender_is_none(site: MailSite) -> None:
    site.usual()
    site.taken(mail(From=f'"{SENDER}" <eve@evil.example>'))
    assert site.callbacks() == []
    assert site.reasons() == ["not_proven"]


def test_the_envelope_proves_nothing(site: MailSite) -> None:
    site.usual()
    site.taken(mail(Authentication_Results=None), sender=SENDER)
    assert site.reasons() == ["not_proven"]


def test_registered_senders_only(site: MailSite) -> None:
    site.usual(require_registered="on")
    site.taken(mail())
    assert site.refused() == ["wrong_login"], "as for a wrong password: nobody learns that the account exists"
    site.stores.email_senders.add(ACCOUNT, "Ann@People.example")
    site.taken(mail())
    assert len(site.callbacks()) == 1


def test_with_policy_none_everybody_is_believed(site: MailSite) -> None:
    site.usual(policy="none")
    site.taken(mail(Authentication_Results=None))
    assert len(site.callbacks()) == 1


# --- signatures --------------------------------------------------------------------------------------------------


class Names:
    """A DNS server on loopback that knows TXT records; `broken` makes it answer SERVFAIL."""

    def __init__(self) -> None:
        self.records: dict[str, str] = {}
        self.broken = False
        self.silent, self.kept_silent = "nobody.example", 0
        names = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                query = dns.message.from_wire(self.request[0])
                answer = dns.message.make_response(query)
                answer.flags |= dns.flags.RA
                name = query.question[0].name.to_text()
                if name.rstrip(".").endswith(names.silent):
                    names.kept_silent += 1
                    return
                if names.broken:
                    answer.set_rcode(dns.rcode.SERVFAIL)
                elif name.rstrip(".") in names.records:
                    text = names.records[name.rstrip(".")]
                    parts = " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))
                    answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", parts))
                else:
                    answer.set_rcode(dns.rcode.NXDOMAIN)
                self.request[1].sendto(answer.to_wire(), self.client_address)

        self.server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    """A private key, and its TXT record."""
    path = tmp_path_factory.mktemp("dkim") / "key"
    subprocess.run(
        ["openssl", "genrsa", "-traditional", "-out", path, "2048"], check=True, capture_output=True
    )
    public = subprocess.run(
        ["openssl", "rsa", "-in", path, "-pubout"], check=True, capture_output=True, text=True
    )
    return path.read_bytes(), "v=DKIM1; k=rsa; p=" + "".join(public.stdout.splitlines()[1:-1])


@pytest.fixture
def names(key: tuple[bytes, str]) -> Iterator[Names]:
    made = Names()
    made.records["s1._domainkey.people.example"] = key[1]
    made.records["s1._domainkey.evil.example"] = key[1]
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@contextmanager
def verifying(folder: Path, names: Names) -> Iterator[MailSite]:
    with open_mail_site(folder, dns_server=names.address) as site:
        site.usual(policy="dkim")
        yield site


def signed(raw: bytes, key: tuple[bytes, str], domain: bytes = b"people.example", **values: object) -> bytes:
    return bytes(dkim.sign(raw, b"s1", domain, key[0], **values)) + raw


def test_a_good_signature_is_believed(tmp_path: Path, names: Names, key: tuple[bytes, str]) -> None:
    with verifying(tmp_path, names) as site:
        site.taken(signed(mail(), key))
        assert len(site.callbacks()) == 1


def test_a_good_signature_is_believed_also_when_lines_end_as_in_a_pipe(
    tmp_path: Path, names: Names, key: tuple[bytes, str]
) -> None:
    with verifying(tmp_path, names) as site:
        instance = site.desk.find(ADDRESS)
        assert instance is not None
        assert site.desk.receive(instance, signed(mail(), key).replace(b"\r\n", b"\n")) == ""


def test_bad_signatures_are_not(tmp_path: Path, names: Names, key: tuple[bytes, str]) -> None:
    with verifying(tmp_path, names) as site:
        good = signed(mail(), key)
        bad = [
            mail(),
            good.replace(b"DN 447400900123", b"DN 447400900124"),
            good.replace(b"call me", b"call you"),
            signed(mail(), key, b"evil.example"),
            signed(mail(), key, b"example"),
            signed(mail(), key, length=True),
            signed(mail(), key, include_headers=[b"subject", b"from"], signature_algorithm=b"rsa-sha1"),
            b"DKIM-Signature: v=1; a=rsa-sha256; d=people.example; s=s1; h=from; bh=x; b=x\r\n" + mail(),
            b"DKIM-Signature: \r\n" * 50 + mail(),
            good.replace(b"s=s1", b"s=unknown"),
        ]
        for raw in bad:
            site.taken(raw)
        assert site.reasons() == ["not_proven"] * len(bad)
        assert site.callbacks() == []
        # What was signed is one mail; with a second header of a kind it may be another.
        site.taken(good.replace(b"From: Ann", b"From: eve@evil.example\r\nFrom: Ann"))
        site.taken(b"Content-Type: text/html\r\nContent-Type: text/plain\r\n" + good)
        assert site.reasons()[-2:] == ["bad_sender"] * 2
        site.taken(good)
        assert len(site.callbacks()) == 1


def test_a_domain_that_says_nothing_delays_nobody_else(
    tmp_path: Path, names: Names, key: tuple[bytes, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "DNS_TIMEOUT_S", 2)
    with verifying(tmp_path, names) as site, ThreadPoolExecutor(8) as pool:
        names.silent = "silent.example"
        slow = [
            signed(mail(From=f"x@{n}.silent.example"), key, f"{n}.silent.example".encode()) for n in range(8)
        ]
        sent = [pool.submit(site.send, raw) for raw in slow]
        assert wait_until(lambda: names.kept_silent > 0, timeout_s=20)
        site.taken(signed(mail(), key))
        assert not all(one.done() for one in sent), "they were still waiting"
        assert [one.result()[0] for one in sent] == [451] * 8
        assert names.kept_silent <= 2 * 3, "two look-ups, each tried a few times, and then it is left alone"


def test_while_the_dns_is_away_the_mail_server_keeps_the_mail(
    tmp_path: Path, names: Names, key: tuple[bytes, str]
) -> None:
    with verifying(tmp_path, names) as site:
        raw = signed(mail(), key)
        names.broken = True
        assert site.send(raw)[0] == 451
        names.broken = False
        site.taken(raw)
        assert len(site.callbacks()) == 1
