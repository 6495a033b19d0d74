"""What an incoming call says of itself: the called number, the caller, and whether the caller requests privacy.

Read from the texts of the SIP headers, which strangers write: nothing here raises, whatever they are. Sources: RFC
3261 (addresses), RFC 3966 (tel URIs and parameters), RFC 3325 (P-Asserted-Identity), RFC 3323 (Privacy), and the
expired draft of Remote-Party-ID, which is still in use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from stasis_callback.core.attestation import of_header, of_verstat
from stasis_callback.core.trunk_numbers import NumberForm
from stasis_callback.core.withheld import hidden, nameless, withheld

# Whole addresses between commas: a comma may also be in a quoted name or in angle brackets.
_ADDRESSES = re.compile(r'(?:"(?:[^"\\]|\\.)*"|<[^>]*>|[^,"<])+')
_BRACKETS = re.compile(r'^(?P<name>(?:"(?:[^"\\]|\\.)*"|[^"<])*)<(?P<uri>[^>]*)>(?P<rest>.*)$', re.DOTALL)
_ADDRESSES_LIMIT = 8
_LENGTH_LIMIT = 4000
_DIGITS = re.compile(r"\+?[0-9]{3,}(?:;|$)")
_KEPT = 64
"""Characters kept of text that is not a number: enough to see what it was."""
_HIDING = frozenset({"id", "user", "header", "session"})


@dataclass(frozen=True, slots=True)
class Address:
    """One address: its number or name (URI parameters cut off), and what belongs to that."""

    user: str = field(default="", repr=False)
    context: str = ""
    """The `phone-context`: what comes before the number to make it global."""
    display: str = field(default="", repr=False)
    host: str = ""
    privacy: str = ""
    """Of a Remote-Party-ID: off, name, uri or full, also `uri-network` and similar."""
    party: str = ""
    """Of a Remote-Party-ID: calling or called; "" where it does not say, which is the caller."""
    verstat: str = ""
    """What the carrier found out about the number (STIR/SHAKEN), in small letters."""

    @property
    def is_anonymous(self) -> bool:
        """Whether it has a word in place of a number."""
        return nameless(self.user) or self._of_nobody

    @property
    def hides(self) -> bool:
        """Whether it says that the caller wants to be private."""
        asked = self.privacy.partition("-")[0] in ("full", "uri")
        return asked or hidden(self.user) or hidden(self.display) or self._of_nobody

    @property
    def is_of_the_caller(self) -> bool:
        """Whether it is not another party's."""
        return self.party in ("", "calling")

    @property
    def _of_nobody(self) -> bool:
        return self.host.casefold() == "anonymous.invalid"


def addresses(header: str) -> Iterator[Address]:
    """The addresses in a header, or in several headers that were joined by commas."""
    for text in _ADDRESSES.findall(header[:_LENGTH_LIMIT])[:_ADDRESSES_LIMIT]:
        if text.strip():
            yield address(text)


def address(text: str) -> Address:
    """One address: `"Name" <sip:+420212345678;npdi@host;user=phone>;tag=1`, or a URI alone."""
    text = text.strip()[:_LENGTH_LIMIT]
    brackets = _BRACKETS.match(text)
    uri = brackets["uri"] if brackets else text
    scheme, colon, after = uri.partition(":")
    if not colon or scheme.casefold() not in ("sip", "sips", "tel"):
        after = uri
    if scheme.casefold() == "tel":
        user, host = after, ""
    else:
        user, at, host = after.partition("?")[0].rpartition("@")
        if not at and _DIGITS.match(host):  # no host has such a name
            user, host = host, ""
    user, _, of_user = unquote(user).partition(";")
    host, _, of_uri = host.partition(";")
    parameters = _parameters(of_uri) | _parameters(of_user)
    # Those of the header stand behind the brackets; senders forget the brackets, or put them inside.
    of_header = parameters | _parameters(brackets["rest"] if brackets else "")
    return Address(
        user=user.partition(":")[0].strip(),
        context=parameters.get("phone-context", ""),
        display=re.sub(r"\\(.)", r"\1", brackets["name"].strip().strip('"')) if brackets else "",
        host=host.partition(":")[0],
        privacy=of_header.get("privacy", "").strip('"').casefold(),
        party=of_header.get("party", "").strip('"').casefold(),
        verstat=of_header.get("verstat", "").casefold(),
    )


def _parameters(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip().casefold(): unquote(value).strip() for name, _, value in pairs}


@dataclass(frozen=True, slots=True)
class Invite:
    """The headers that say who is called and who calls, as texts."""

    uri: str = field(default="", repr=False)
    to: str = field(default="", repr=False)
    from_: str = field(default="", repr=False)
    asserted: str = field(default="", repr=False)
    """P-Asserted-Identity; several joined by commas."""
    remote_party: str = field(default="", repr=False)
    privacy: str = ""
    trusted: bool = True
    """Whether the trunk's identities other than From count (`trust_id_inbound` of its endpoint)."""
    indicator: str = ""
    """P-Attestation-Indicator."""
    attested: str = ""
    """The header that the form of the trunk names (`attestation`)."""

    @classmethod
    def of_args(cls, args: Sequence[str]) -> Invite | None:
        """The headers that the dialplan passed as `name=value`, percent-encoded; None from an older dialplan."""
        found: dict[str, list[str]] = {}
        for name, _, value in (arg.partition("=") for arg in args):
            found.setdefault(name, []).append(unquote(value))
        if "uri" not in found:
            return None
        joined = {name: ",".join(filter(None, values)) for name, values in found.items()}
        return cls(
            joined["uri"],
            joined.get("to", ""),
            joined.get("from", ""),
            joined.get("pai", ""),
            joined.get("rpid", ""),
            joined.get("privacy", ""),
            joined.get("trusted") == "true",
            joined.get("attest", ""),
        )

    @property
    def private(self) -> bool:
        """Whether the caller's number must not be shown to others."""
        asked = {word.strip().casefold() for word in re.split(r"[;,]", self.privacy)}
        found = [address(self.from_), *addresses(self.asserted), *addresses(self.remote_party)]
        return bool(asked & _HIDING) or any(one.hides for one in found if one.is_of_the_caller)


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a call is, read by the form of its trunk. Numbers are E.164 digits; other text stays as received."""

    called: str = field(repr=False)
    caller: str = field(repr=False)
    private: bool
    notes: tuple[str, ...] = field(default=(), repr=False)
    """How it was read, in sentences."""
    attestation: str = ""
    """How sure the carriers are of the caller's number: A, B, C, `failed`; "" where they say nothing."""


def read(invite: Invite, form: NumberForm) -> Incoming:
    """Who is called, and by whom."""
    notes: list[str] = []
    called = _called(invite, form, notes)
    caller = _caller(invite, form, notes)
    if invite.private:
        notes.append("the caller requests privacy: the number is never shown to leg B")
    attestation = _attestation(invite, form, caller, notes)
    return Incoming(called, caller, invite.private, tuple(notes), attestation)


def _attestation(invite: Invite, form: NumberForm, caller: str, notes: list[str]) -> str:
    """By the header that the trunk names, else by the standards'."""
    own = of_header(form.attestation, invite.attested, caller) if form.attestation else ""
    if form.attestation and not own:
        notes.append(f"{form.attestation} says nothing of the caller's number")
    found, place = (own, form.attestation) if own else (_by_verstat(invite, form, caller, notes), "verstat")
    if found:
        notes.append(f"the attestation of the caller's number is {found}, by {place}")
    return found


def _by_verstat(invite: Invite, form: NumberForm, caller: str, notes: list[str]) -> str:
    """What is said of the number that was taken for the caller's, by a trunk whose word counts.

    3GPP TS 24.229 has `verstat`, a parameter of the number that it is about: beside another number it says nothing of
    this one, which the caller may have written. Carriers add the level of the attestation to it, or to a header
    beside it, or mean A without one. That header alone is not theirs: callers write it to ask for an attestation.
    """
    if not invite.trusted:
        return ""
    places = [("P-Asserted-Identity", one) for one in addresses(invite.asserted)]
    for name, one in [*places, ("From", address(invite.from_))]:
        said = of_verstat(one.verstat, invite.indicator)
        if said and not one.is_anonymous and form.caller(one.user, one.context) == caller:
            return said
        if said:
            notes.append(f"verstat in {name} is about another number: it does not count")
    return ""


def _called(invite: Invite, form: NumberForm, notes: list[str]) -> str:
    places = [("the request's address", invite.uri), ("To", invite.to)]
    if form.called_from == "to":
        places.reverse()
    for place, text in places:
        found = address(text)
        notes.append(_note(place, found))
        number = form.called(found.user, found.context, notes)
        if number:
            return number
        notes.append("not a phone number")
    return address(invite.uri).user[:_KEPT]


def _caller(invite: Invite, form: NumberForm, notes: list[str]) -> str:
    others: list[tuple[str, Iterable[Address]]] = [
        ("P-Asserted-Identity", addresses(invite.asserted)),
        ("Remote-Party-ID", (one for one in addresses(invite.remote_party) if one.is_of_the_caller)),
    ]
    if not invite.trusted:
        if invite.asserted or invite.remote_party:
            notes.append("P-Asserted-Identity and Remote-Party-ID do not count: trust_id_inbound is off")
        others = []
    own: list[tuple[str, Iterable[Address]]] = [("From", [address(invite.from_)])]
    unread: list[str] = []
    for name, found in own + others if form.identity == "from" else others + own:
        for one in found:
            notes.append(_note(name, one))
            number = None if one.is_anonymous else form.caller(one.user, one.context, notes)
            is_withheld = one.is_anonymous or withheld(number or one.user)
            if number and not is_withheld:
                return number
            notes.append("that is a withheld number" if is_withheld else "not a phone number")
            unread += [] if is_withheld else [one.user]
    # Text that is not a number is refused as such, unless it only says that the number is withheld.
    return unread[0][:_KEPT] if unread else "anonymous"


def _note(place: str, found: Address) -> str:
    context = f" in the context of {found.context}" if found.context else ""
    return f"{place} has {found.user or 'nothing'}{context}"
