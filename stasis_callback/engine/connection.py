"""Leg B from its creation to its end: bridged first, then dialled, so that leg A hears the carrier's ringback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from stasis_callback.ari.channels import PRESENTATION, Heard, Started
from stasis_callback.ari.errors import AriError, AriUnavailable
from stasis_callback.clock import US_PER_S
from stasis_callback.engine.funding import PaidLeg
from stasis_callback.engine.legs import (
    await_end,
    await_entry,
    finish_leg,
    is_silent,
    recheck,
    settle_over,
    without_bridge,
)
from stasis_callback.engine.slices import TalkFunds
from stasis_callback.engine.tools import CallTools
from stasis_callback.ivr.call import Call, End
from stasis_callback.ivr.prompts import NOTHING, Utterance
from stasis_callback.store.rates.trunks import NO_PROGRESS_S

log = structlog.get_logger()

RINGING_MARGIN_S = 5
"""Asterisk ends the ringing; its report may take this much longer before we end the leg ourselves."""
FUSE_RENEWAL_S = 5.0
MEDIA_LOOK_S = 4.0
"""After so long in a talk it is looked at whether both sides are heard, and again after twice as long."""
MEDIA_LOOK_AGAIN_S = 30.0
"""After that while both are heard; who is not heard at all, Asterisk ends (`rtp_timeout`)."""
DOUBLE_STAR_S = 1.5


def words_id(leg_b_id: str) -> str:
    """The playback that leg A hears while this leg B is called; a restart finds it by that name, to stop it."""
    return f"{leg_b_id}-words"


@dataclass(frozen=True)
class Warnings:
    """What leg A alone hears before the funds end: first with `first_left_s` seconds left, then every `repeat_s`."""

    first_left_s: int
    repeat_s: int
    words: Callable[[int], Utterance]


@dataclass
class Connection:
    """The way from leg A to one destination and back."""

    tools: CallTools
    call: Call
    a: PaidLeg
    b: PaidLeg
    request_id: str
    longest_s: int
    """How long the talk can last, as the funds were when it was authorised."""
    endpoint: str = ""
    """The dial string of leg B; "" once it talks."""
    no_progress_s: int = NO_PROGRESS_S
    """How long its carrier may say nothing at all."""
    given_up: bool = False
    """The subscriber keyed `**` while it rang."""
    _heard: dict[str, Heard] = field(default_factory=dict)
    """What had come from a leg when it was looked at last."""

    def dial(
        self, caller_id: str, ring_timeout_s: int, words: Utterance = NOTHING, *, withheld: bool = False
    ) -> bool:
        """Call leg B while A listens, to `words` first; whether it was answered. `**` gives it up. Raises HungUp.

        A `withheld` caller id is for the carrier alone, where the endpoint sends it (`send_pai`).
        """
        client, leg = self.tools.client, self.b.leg
        log.info("leg.dialing", leg=leg.id)
        leg.requested = True
        started = client.channels.create(
            self.endpoint,
            leg.id,
            app_args=("leg-b", self.request_id),
            variables={
                "TIMEOUT(absolute)": f"{self.b.fuse_s():.3f}",
                "CONNECTEDLINE(num,i)": caller_id,
                **({PRESENTATION: "prohib"} if withheld else {}),
            },
            originator=self.a.leg.id,
        )
        if started is Started.REFUSED:
            leg.end_seen(End(client.time.now_us(), 34, None))
            return False
        await_entry(self.tools, self.call, leg)
        if leg.ended is not None:
            # Given up, also where Asterisk makes the channel now after all, seconds late: it is ended as nobody's.
            return False
        self.call.may_have_bridge = True
        bridge = client.bridges.create(self.request_id)
        if bridge.add(self.a.leg.id, leg.id) and self._dial(ring_timeout_s):
            # Nothing may be asked of leg A's channel now but to stop: other commands wait until it has been said.
            if words.media:
                self._say(words, words_id(leg.id))
            try:
                self._await_answer(ring_timeout_s)
            finally:
                if words.media:
                    self._quietly("words.not_stopped", client.playback(words_id(leg.id)).stop)
        return leg.up

    def _dial(self, ring_timeout_s: int) -> bool:
        """Have the channel call. Where Asterisk may have done so without saying it, its events tell."""
        try:
            return self.b.leg.channel.dial(ring_timeout_s)
        except AriUnavailable as error:
            log.warning("leg.start_unknown", channel=self.b.leg.id, error=error.message)
            return not error.untouched
        except AriError as error:
            # Asterisk's answer where the channel has just begun to end is 500 (`stasis_app_control_dial`).
            log.warning("leg.not_started", channel=self.b.leg.id, error=error.message)
            return False

    def _await_answer(self, ring_timeout_s: int) -> None:
        # Until the answer is seen the timer holds no more than the funded talk, and is wound up again and again:
        # if this service dies now and B answers, the talk still ends within what is paid for.
        a, leg, clock = self.a.leg, self.b.leg, self.tools.clock
        renewal_s = min(FUSE_RENEWAL_S, self.b.funded_s / 2)
        began_s = renewed_s = clock.monotonic_s()
        deadline_s, life_by_s = began_s + ring_timeout_s + RINGING_MARGIN_S, began_s + self.no_progress_s
        while not leg.up and leg.ended is None:
            now_s = clock.monotonic_s()
            wait_s = renewed_s + renewal_s - now_s
            if not leg.ringing and now_s < life_by_s:
                wait_s = min(wait_s, life_by_s - now_s)
            if self.call.wait(lambda: leg.up or leg.ended is not None or bool(a.digits), wait_s):
                self.given_up = self._two_stars()
                if self.given_up:
                    log.info("leg.given_up", leg=leg.id)
                    return
                continue
            now_s = clock.monotonic_s()
            if now_s > deadline_s and self._is_clear():
                break
            if now_s >= life_by_s and is_silent(self.tools, self.call, leg, began_s):
                return
            if self._still_rings():
                self.b.wind_up()
            renewed_s = now_s
        if leg.up:
            log.info("leg.answered", leg=leg.id)
            if leg.elapsed_s() < self.b.funded_s:
                self.b.wind_up()
            # Else it was answered unheard and has outlived its hold: `talk` holds more for it at once, or ends it.

    def _is_clear(self) -> bool:
        """Ask Asterisk what became of leg B, after its ringing time: where this service stood still, the answer may
        be on its way to this thread. False when the two may be talking: events were missed, and Asterisk cannot be
        asked. It ends the ringing by itself.
        """
        return self._asked() or self.call.lost is None

    def _asked(self) -> bool:
        """Ask Asterisk about leg B; False when it cannot be asked now."""
        try:
            recheck(self.tools, self.call, self.b.leg)
        except AriError as error:
            log.warning("leg.unclear", leg=self.b.leg.id, error=str(error))
            return False
        return True

    def _still_rings(self) -> bool:
        """Whether leg B is known to be neither answered nor over. While the link is down its answer is not heard, so
        Asterisk is asked: its timer must not be moved out for a talk that nobody holds for.
        """
        leg = self.b.leg
        if self.call.lost is not None and not self._asked():
            return False
        # To ask Asterisk takes seconds at times: an answer that was reported meanwhile sets the timer otherwise.
        return not self.call.wait(lambda: leg.up or leg.ended is not None, 0)

    def talk(self, funds: TalkFunds, warnings: Warnings | None = None) -> None:
        """Let the two talk, and pay for it slice by slice, until leg B ends or leg A keys `**`. Raises HungUp.

        Digits of leg A reach leg B all the while (they may be talking to a machine), the stars too.
        """
        a, b = self.a.leg, self.b.leg
        a.digits.clear()
        warn_at_left_s = float(warnings.first_left_s) if warnings else 0.0
        look_at_s = self.tools.clock.monotonic_s() + MEDIA_LOOK_S
        while b.ended is None:
            settle_over(self.tools, self.call, self.a.leg)  # of the talk before, where that could not be done
            if self.tools.clock.monotonic_s() >= look_at_s:
                look_at_s = self.tools.clock.monotonic_s() + self._look_for_media()
            extension_in_s = funds.next_extension_s()
            warning_in_s = max(funds.left_s() - warn_at_left_s, 0.0) if warn_at_left_s > 0 else None
            look_in_s = max(look_at_s - self.tools.clock.monotonic_s(), 0.0)
            due = [seconds for seconds in (extension_in_s, warning_in_s, look_in_s) if seconds is not None]
            if self.call.wait(lambda: b.ended is not None or bool(a.digits), min(due)):
                if self._two_stars():
                    log.info("talk.ended_by_stars", leg=b.id)
                    return
            elif extension_in_s is not None and extension_in_s == min(due):
                funds.extend()
            elif warnings is not None and warning_in_s == min(due):
                funds.refresh()
                left_s = round(min(funds.left_s(), warn_at_left_s))
                if left_s <= 0:
                    # This service stood still: leg B is over, and its end on its way to this thread.
                    warn_at_left_s = 0.0
                elif funds.left_s() <= warn_at_left_s + 1:
                    self._warn(warnings, left_s)
                    warn_at_left_s = warn_at_left_s - warnings.repeat_s if warnings.repeat_s else 0.0

    def _look_for_media(self) -> float:
        """Mark who is not heard now; in how many seconds to look again.

        What came before the first look may have come before the talk (early media, the menu): only later looks tell
        whether anything has come since.
        """
        first = not self._heard
        for leg in (self.a.leg, self.b.leg):
            try:
                heard = leg.channel.heard()
            except AriError:
                heard = None
            if heard is None:
                continue  # looked at again
            nothing = not heard.lives_since(self._heard.get(leg.id))
            if nothing and not leg.no_media:
                log.warning("talk.no_media", leg=leg.id)
            leg.no_media = nothing
            self._heard[leg.id] = heard
        if first or self.a.leg.no_media or self.b.leg.no_media:
            return 2 * MEDIA_LOOK_S
        return MEDIA_LOOK_AGAIN_S

    def _warn(self, warnings: Warnings, left_s: int) -> None:
        """Play to leg A only; nobody waits for it, the talk goes on."""
        log.info("talk.warning", leg=self.a.leg.id, left_s=left_s)
        self._say(warnings.words(left_s), f"{self.b.leg.id}-warning-{left_s}")

    def _say(self, words: Utterance, playback_id: str) -> None:
        """Play to leg A beside what goes on; that goes on also when nothing can be played."""
        log.info("say", leg=self.a.leg.id, words=words.text)
        self._quietly("say.failed", lambda: self.a.leg.channel.play(words.media, playback_id))

    def _quietly(self, event: str, command: Callable[[], object]) -> None:
        """Do what nobody depends on."""
        try:
            command()
        except AriError as error:
            log.warning(event, leg=self.a.leg.id, error=str(error))

    def _two_stars(self) -> bool:
        """Take the next digit of leg A, if there is one; whether it and the one that follows soon are `**`."""
        a, b = self.a.leg, self.b.leg
        if not a.digits or a.digits.popleft() != "*":
            return False
        self.call.wait(lambda: b.ended is not None or bool(a.digits), DOUBLE_STAR_S)
        if a.digits and a.digits[0] == "*":
            a.digits.popleft()
            return True
        return False

    def end(self, *, settle: bool = True) -> None:
        """End leg B, settle it unless that is for later, and take the bridge down. Where leg A is over too, that is
        for the end of the call, which settles both in one commit.
        """
        if self.call.abandoned or self.a.leg.ended is not None:
            return
        if settle:
            finish_leg(self.tools, self.call, self.b.leg)
        else:
            await_end(self.tools, self.call, self.b.leg)
        if not self.call.may_have_bridge:
            return
        bridge = self.tools.client.bridge(self.request_id)
        if self.a.leg.up:
            # A prompt that is asked for while leg A is still leaving the bridge may never report its end; taking it
            # out first waits until it has left.
            self._quietly("bridge.not_left", lambda: bridge.remove(self.a.leg.id))
        without_bridge(self.tools, self.call, self.request_id)

    @property
    def ran_out(self) -> bool:
        """Whether the talk lasted as long as it was paid for."""
        leg = self.b.leg
        if leg.ended is None or leg.answered_at_us is None:
            return False
        lasted_s = leg.steady_s
        if lasted_s is None:
            lasted_s = (leg.ended.at_us - leg.answered_at_us) / US_PER_S
        return lasted_s >= self.b.funded_s - 0.5
