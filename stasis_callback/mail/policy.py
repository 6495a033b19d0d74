"""Who wrote a mail: what our own mail server found out about it, or its DKIM signature, verified here.

The envelope's sender proves nothing, nor does any header that somebody else's server may have written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from email import policy
from email.message import Message
from email.parser import BytesHeaderParser
from functools import cache

import authres
import dkim
import dns.exception
import dns.resolver
from publicsuffixlist import PublicSuffixList

from stasis_callback.clock import Clock

RESULTS_LIMIT = 4000
"""Longest Authentication-Results header looked at, in characters."""
SIGNATURES_LIMIT = 3
DNS_TIMEOUT_S = 5
SILENT_S, AT_ONCE = 60.0, 2
"""How long a domain is left alone that did not answer, and how many look-ups of one domain may be under way."""
RSA_KEY_BITS = 1024

ONCE = ("From", "Date", "Subject", "Message-ID", "Content-Type", "Content-Transfer-Encoding", "MIME-Version")
"""Headers that stand once in an honest mail (RFC 5322, 3.6): a second one is read by some and signed by others."""


class KeyLookupFailed(Exception):
    """The DNS did not answer: whether a signature is good can be said later."""


def headers_of(raw: bytes) -> Message:
    """The headers, undecoded. Of a mail that `read_mail` could read."""
    return BytesHeaderParser(policy=policy.compat32).parsebytes(raw)


def is_ambiguous(headers: Message) -> bool:
    """Whether different readers may see different mails in this one."""
    return any(len(headers.get_all(name, [])) > 1 for name in ONCE)


def proven_by_our_server(headers: Message, domain: str, authserv_id: str) -> bool:
    """Whether the topmost Authentication-Results of `authserv_id` proves the sender's domain (RFC 8601, RFC 7489).

    Where there is a DMARC result, it decides; else DKIM or SPF must have passed for an aligned domain.
    """
    results = _our_results(headers, authserv_id) if authserv_id else []
    dmarc = [result for result in results if result.method == "dmarc"]
    if dmarc:
        return all(_passed(result, domain, (("header", "from"),)) for result in dmarc)
    return any(
        _passed(result, domain, (("header", "d"), ("header", "i")))
        if result.method == "dkim"
        else _passed(result, domain, (("smtp", "mailfrom"),))
        for result in results
        if result.method in ("dkim", "spf")
    )


def _our_results(headers: Message, authserv_id: str) -> list[authres.core.AuthenticationResult]:
    for value in headers.get_all("Authentication-Results", []):
        text = " ".join(str(value)[:RESULTS_LIMIT].split())
        if text.partition(";")[0].split(" ")[0].lower() != authserv_id.lower():
            continue
        # The first of ours is the one that counts, readable or not: those below it came with the mail.
        try:
            return list(authres.AuthenticationResultsHeader.parse_value(text).results)
        except Exception:  # noqa: BLE001  the library's own errors on damaged headers are of many kinds
            return []
    return []


def _passed(
    result: authres.core.AuthenticationResult, domain: str, properties: tuple[tuple[str, str], ...]
) -> bool:
    """Whether a method passed for a domain that is aligned; the first of `properties` that is there names it."""
    if result.result != "pass":
        return False
    named = {(p.type, p.name): str(p.value) for p in result.properties}
    value = next((named[key] for key in properties if key in named), "")
    return aligned(value.rpartition("@")[2], domain)


class KeyLookups:
    """Looks keys up in the DNS. A domain whose name servers say nothing does not keep everybody waiting: after one
    time-out it is not asked again for a while, and never more than twice at once.
    """

    def __init__(self, dns_server: str, clock: Clock) -> None:
        self._server = dns_server
        self._clock = clock
        self._lock = clock.lock()
        self._asked: Counter[str] = Counter()
        self._silent_until_s: dict[str, float] = {}

    def txt(self, name: bytes, timeout: float) -> bytes | None:
        """A TXT record; None if there is none. Raises KeyLookupFailed when there is no answer."""
        text = name.decode("ascii")
        owner = _organisation(_ascii(text)) or text
        with self._lock:
            now_s = self._clock.monotonic_s()
            self._silent_until_s = {one: at_s for one, at_s in self._silent_until_s.items() if at_s > now_s}
            if owner in self._silent_until_s or self._asked[owner] >= AT_ONCE:
                raise KeyLookupFailed("silent")
            self._asked[owner] += 1
        silent = False
        try:
            answer = _resolver(self._server).resolve(text, "TXT", lifetime=timeout)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return None
        except dns.exception.DNSException as error:
            silent = isinstance(error, dns.exception.Timeout)
            raise KeyLookupFailed(type(error).__name__) from None
        finally:
            with self._lock:
                self._asked[owner] -= 1
                if not self._asked[owner]:
                    del self._asked[owner]
                if silent:
                    self._silent_until_s[owner] = self._clock.monotonic_s() + SILENT_S
        return b"".join(next(iter(answer)).strings)


def proven_by_signature(raw: bytes, headers: Message, domain: str, keys: KeyLookups) -> bool:
    """Whether a DKIM signature (RFC 6376) of an aligned domain is good. Raises KeyLookupFailed."""
    lines = b"\r\n".join(raw.replace(b"\r\n", b"\n").split(b"\n"))
    count = len(headers.get_all("DKIM-Signature", []))
    return any(_verifies(lines, at, domain, keys) for at in range(min(count, SIGNATURES_LIMIT)))


def _verifies(raw: bytes, at: int, domain: str, keys: KeyLookups) -> bool:
    try:
        checker = dkim.DKIM(raw, minkey=RSA_KEY_BITS, timeout=DNS_TIMEOUT_S)
        fields = checker.verify_headerprep(at)[0]
        if not aligned(fields[b"d"].decode("ascii"), domain):
            return False
        # With l= anything may be added below what is signed; SHA-1 is broken (RFC 8301).
        if b"l" in fields or not fields[b"a"].endswith(b"-sha256"):
            return False
        return bool(checker.verify(at, dnsfunc=lambda name, timeout: keys.txt(name, timeout)))
    except KeyLookupFailed:
        raise
    except Exception:  # noqa: BLE001  an unreadable signature proves nothing, whatever error the library raises
        return False


@cache
def _resolver(dns_server: str) -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=not dns_server)
    if dns_server:
        host, _, port = dns_server.partition(":")
        resolver.nameservers = [host]
        resolver.port = int(port or 53)
    return resolver


# --- domains ---------------------------------------------------------------------------------------------------


def domain_of(address: str) -> str:
    """The domain of an address as ASCII, in lower case; "" if there is none."""
    return _ascii(address.rpartition("@")[2])


def aligned(proven: str, domain: str) -> bool:
    """Whether both belong to one organisation (RFC 7489, 3.1, relaxed)."""
    organisations = {_organisation(name) for name in (_ascii(proven), domain)}
    return len(organisations) == 1 and None not in organisations


def _organisation(domain: str) -> str | None:
    """The domain that somebody registered; None for one that is a public suffix itself."""
    return _suffixes().privatesuffix(domain) if domain else None


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def _ascii(domain: str) -> str:
    try:
        return ".".join(_labels(domain))
    except UnicodeError:
        return ""


def _labels(domain: str) -> Iterator[str]:
    for label in domain.strip().rstrip(".").lower().split("."):
        yield label if label.isascii() else label.encode("idna").decode("ascii")
