"""The missed call: store the caller's number, refuse the call unanswered, call back.

The incoming call is never answered and gets neither ringing nor early media, so it is free for the caller. An
accepted request is committed before the call is refused: once the caller hears "busy", the callback is certain.
Source: the specification, "ANI (missed call) callback trigger".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import structlog

from stasis_callback.ari.client import AriClient
from stasis_callback.ari.errors import AriError
from stasis_callback.ari.events import ChannelSnapshot
from stasis_callback.core.incoming import Invite
from stasis_callback.core.numbers import mask
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.words import Refusal
from stasis_callback.engine.admission.incoming_numbers import IncomingNumbers
from stasis_callback.engine.admission.missed_calls import Admission, Decision
from stasis_callback.engine.dialer import Dialer
from stasis_callback.store.calls.requests import new_request_id
from stasis_callback.store.rates.trunks import Trunks

log = structlog.get_logger()

INCOMING = "missed"
"""The first application argument of a call from the trunk; the second is the number that was called, the rest the
headers of its INVITE.
"""


REMEMBERED = 1000
"""Channels: far more than can be waiting at a time."""


class MissedCallTrigger:
    """Takes incoming channels; `handle` may run in several threads at once."""

    def __init__(
        self,
        client: AriClient,
        trunks: Trunks,
        incoming: IncomingNumbers,
        admission: Admission,
        dialer: Dialer,
        node: str,
    ) -> None:
        """`node` is the name of the node whose Asterisk the channels are in."""
        self._node = node
        self._client = client
        self._trunks = trunks
        self._incoming = incoming
        self._admission = admission
        self._dialer = dialer
        self._lock = client.clock.lock()
        self._decisions: OrderedDict[str, Decision | None] = OrderedDict()
        """Of the last channels, by id; None while it is being made."""

    def handle(self, channel: ChannelSnapshot, args: Sequence[str]) -> None:
        """One incoming channel to its end: from its first event, or as it was found when the link came back.

        Both may happen at once: the second one rejects the channel once more, if it is still there, and that is all.
        """
        with self._lock:
            known = channel.id in self._decisions
            decided = self._decisions.setdefault(channel.id, None)
        if decided is not None:
            self._reject(channel.id, decided)
        elif not known:
            decision = self._decide(channel, args)
            with self._lock:
                # What could not be decided may be decided the next time.
                self._decisions[channel.id] = decision
                if decision.reason is Refusal.FAILED:
                    del self._decisions[channel.id]
                while len(self._decisions) > REMEMBERED:
                    self._decisions.popitem(last=False)

    def _decide(self, channel: ChannelSnapshot, args: Sequence[str]) -> Decision:
        dnis = args[1] if len(args) > 1 else channel.exten
        # The same event twice is the same request: a channel id is unique for ever, but only in its Asterisk. It is
        # made of the second and a number that is counted up, so two of equal load come to the same ids.
        request = CallbackRequest(f"missed:{self._node}:{channel.id}", "ani", channel.caller_number, dnis)
        # An older dialplan passes no headers: Asterisk has chosen the caller's number.
        invite = Invite.of_args(args[2:]) or Invite(f"sip:{dnis}@", from_=f"sip:{channel.caller_number}@")
        # Not the busy of an accepted call: what is not stored must not sound like success.
        decision = Decision(Refusal.FAILED, "congestion")
        request_id = new_request_id()
        # A callback that need not wait for others begins with one commit, and without another thread's turn.
        has_place, first = self._dialer.reserve(request_id), None
        try:
            trunks = self._trunks.all()
            read = self._incoming.read(
                channel.endpoint, invite, trunks, lambda name: self._header(channel.id, name)
            )
            request = replace(
                request, ani=read.caller, dnis=read.called, private=read.private, attestation=read.attestation
            )
            found = self._admission.examine(request.ani, request.dnis, request.attestation)
            first = self._dialer.first_leg(found, trunks) if has_place else None
            decision = self._admission.missed_call(
                request, found, request_id, begin=has_place, note_leg=first.note if first else None
            )
        except Exception:
            log.exception("request.failed", key=request.key)
        finally:
            self._reject(channel.id, decision)
            if decision.begun is not None:
                self._dialer.begin(decision.begun, first if decision.leg_noted else None)
            else:
                self._dialer.release(request_id)
        if decision.accepted:
            if decision.begun is None:
                self._dialer.wake()
            log.info(
                "request.accepted",
                trigger=request.trigger,
                ani=mask(request.ani),
                dnis=request.dnis,
                channel=channel.id,
            )
        else:
            self._admission.record_refusal(request, decision)
        return decision

    def _header(self, channel_id: str, name: str) -> str:
        """A header of an INVITE; "" where it has none, or Asterisk does not say."""
        try:
            return self._client.channel(channel_id).get_header(name)
        except AriError as error:
            log.warning("missed_call.header_not_read", channel=channel_id, header=name, error=str(error))
            return ""

    def _reject(self, channel_id: str, decision: Decision) -> None:
        try:
            self._client.channel(channel_id).hang_up(decision.reject_cause)
        except AriError as error:
            # The dialplan's own limit ends the call; the callback does not depend on it.
            log.warning("missed_call.not_rejected", channel=channel_id, error=str(error))
