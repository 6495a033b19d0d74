"""Play and collect: the one primitive of every menu. Digits keyed during a prompt stop it, and count."""

from __future__ import annotations

import math
from collections.abc import Callable

import structlog

from stasis_callback.ari.channels import Playback
from stasis_callback.ari.errors import AriError, AriUnavailable
from stasis_callback.ivr.call import Call, Leg
from stasis_callback.ivr.prompts import Utterance

PLAYBACK_LIMIT_S = 60.0
"""No prompt is longer. Asterisk does not report the end of every playback: no wait may depend on it alone."""
REFUSED_LIMIT_S = 5.0
"""A leg to which nothing can be said reports its end within so long, or is under our control."""
REFUSED_PAUSE_S = 0.2
UNSURE_LIMIT_S = 10.0
"""If Asterisk does not report that it plays a sound, the dialog goes on after this time."""

log = structlog.get_logger()


class Dialog:
    """A conversation with the person on one leg."""

    def __init__(self, call: Call, leg: Leg, name: str = "p") -> None:
        """`name` tells its playbacks from those of another dialogue on the same leg."""
        self._name = name
        self._call = call
        self._leg = leg
        self._playbacks = 0

    def say(self, words: Utterance) -> None:
        """Play `words` to the end, or until a digit is keyed (which is kept). Nothing is said over waiting digits.

        Raises HungUp, and AriError where Asterisk refuses although the leg lives.
        """
        if self._leg.digits or not words.media:
            return
        self._playbacks += 1
        playback_id = f"{self._leg.id}-{self._name}{self._playbacks}"
        log.info("say", leg=self._leg.id, words=words.text)
        self._call.transcript.said(self._call.clock.now_us(), self._leg.id, words.text)
        playback, limit_s = self._begun(words, playback_id)
        self._call.link_restored = False
        finished = self._leg.finished_playbacks
        self._call.wait(
            lambda: playback_id in finished or bool(self._leg.digits) or self._call.link_restored,
            limit_s,
        )
        if playback_id not in finished:
            try:
                playback.stop()
            except AriError as error:
                log.warning("say.not_stopped", leg=self._leg.id, error=str(error))
        finished.discard(playback_id)

    def _begun(self, words: Utterance, playback_id: str) -> tuple[Playback, float]:
        """Have something played; the playback, and how long its end is waited for.

        A leg to which nothing can be said is gone, and its end is on the way; or it is not under our control yet, or
        again: Asterisk shows a channel in our application a moment before it takes commands for it.
        """
        until_s = self._call.clock.monotonic_s() + REFUSED_LIMIT_S
        while True:
            try:
                playback = self._leg.channel.play(words.media, playback_id)
            except AriUnavailable as error:
                if error.untouched:
                    raise
                # It may well be playing: then its end is reported, or the caller keys something.
                return self._leg.channel.playback(playback_id), UNSURE_LIMIT_S
            if playback is not None:
                return playback, PLAYBACK_LIMIT_S
            if self._call.clock.monotonic_s() >= until_s:
                break
            self._call.wait(lambda: False, REFUSED_PAUSE_S)
        self._call.look_at(self._leg)  # its end may be among what was missed
        self._call.wait(lambda: False, 0)
        raise AriError(0, f"nothing can be said to {self._leg.id}, which has not ended")

    def tell(self, words: Utterance) -> None:
        """Say something that must be heard: digits keyed before it are forgotten."""
        self._leg.digits.clear()
        self.say(words)

    def ask(
        self,
        words: Utterance,
        *,
        digits_limit: int,
        first_digit_timeout_s: float,
        inter_digit_timeout_s: float,
        terminator: str = "#",
        secret: bool = False,
        after_words: Callable[[], None] = lambda: None,
    ) -> str:
        """Say `words` and collect digits: up to the terminator, to a pause, or to `digits_limit`; `*` starts over.

        `after_words` is called when they are said or cut short by a key, not for somebody who hangs up meanwhile.

        Of a `secret` the transcript has only how many keys were pressed. "" when nothing was keyed in time. Where the
        link was down meanwhile, digits may be missing, and what is left is another number: then it is asked once
        more. Raises HungUp.
        """
        while True:
            # Keys may have waited for this question.
            keyed_since_s = self._leg.keyed_since_s if self._leg.digits else self._call.clock.monotonic_s()
            began_s = keyed_since_s - inter_digit_timeout_s
            self.say(words)
            after_words()
            keys: list[str] = []
            try:
                entry = self._entry(
                    keys, digits_limit, first_digit_timeout_s, inter_digit_timeout_s, terminator
                )
            finally:  # also of somebody who hangs up meanwhile
                now_us = self._call.clock.now_us()
                self._call.transcript.keyed(now_us, self._leg.id, "".join(keys), secret=secret)
            if self._call.deaf_until_s <= began_s:
                return entry
            log.warning("digits.missed", leg=self._leg.id)
            self._until_nobody_keys(inter_digit_timeout_s)

    def _entry(
        self, keys: list[str], digits_limit: int, first_s: float, next_s: float, terminator: str
    ) -> str:
        """What was keyed; `keys` gets each key that was pressed for it."""
        entry = ""
        while len(entry) < digits_limit:
            digit = self._next_digit(next_s if entry else first_s)
            keys += digit or ""
            if digit == "*":
                entry = ""
            elif digit is None or digit == terminator:
                break
            elif digit != "#":
                entry += digit
        return entry

    def _until_nobody_keys(self, pause_s: float) -> None:
        """Wait until the link is back, and for a pause after what is still being keyed; that is forgotten."""
        self._call.wait(lambda: self._call.deaf_until_s < math.inf, PLAYBACK_LIMIT_S)
        digits = self._leg.digits
        digits.clear()
        while self._call.wait(lambda: bool(digits), pause_s):
            digits.clear()

    def _next_digit(self, timeout_s: float) -> str | None:
        digits = self._leg.digits
        self._call.wait(lambda: bool(digits), timeout_s)
        return digits.popleft() if digits else None
