"""Playing sounds on a fake Asterisk: how long they take, which fail, which cannot be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from .model import AriError, Bridge, Channel, Playback
from .switch import Switch

_UNSTOPPABLE = ("number:", "digits:", "characters:")


@dataclass
class Sounds:
    """How long sounds play, in seconds. `speed` 10 makes every playback ten times quicker."""

    durations_s: dict[str, float] = field(default_factory=dict)
    """By sound name (`vm-goodbye`), for those that differ from the default."""
    default_s: float = 0.5
    speed: float = 1.0
    missing: set[str] = field(default_factory=lambda: {"no-such-sound"})
    """Sound names that have no file."""

    def seconds(self, media: str) -> float | None:
        """How long this item plays; None when it cannot be played."""
        scheme, _, name = media.partition(":")
        if scheme == "tone":
            return 1e9  # until stopped
        if scheme == "sound" and name not in self.missing:
            return self._sound_s(name) / self.speed
        if scheme in ("digits", "characters") or (scheme == "number" and name.lstrip("-").isdigit()):
            return len(name) * self.default_s / self.speed
        return None

    def _sound_s(self, name: str) -> float:
        if name.startswith("silence/"):
            return float(name.removeprefix("silence/"))
        return self.durations_s.get(name, self.default_s)


class Player:
    """Runs playbacks, one after the other on each channel."""

    def __init__(self, switch: Switch, sounds: Sounds) -> None:
        self._switch, self._sounds = switch, sounds

    def start(
        self, target: Channel | Bridge, media: Iterable[str], playback_id: str, language: str
    ) -> Playback:
        """Queue a playback on a channel or a bridge."""
        kind = "channel" if isinstance(target, Channel) else "bridge"
        playback = Playback(playback_id, list(media), f"{kind}:{target.id}", language or "en")
        self._switch.playbacks[playback.id] = playback
        if isinstance(target, Channel):
            target.playbacks.append(playback)
        lock = target.busy if isinstance(target, Channel) else target.playing
        self._switch.task(self._play(playback, lock))
        return playback

    def stop(self, playback_id: str) -> None:
        """End a playback. Raises AriError if it does not exist or is of a kind that Asterisk cannot stop."""
        playback = self._switch.playbacks.get(playback_id)
        if playback is None:
            raise AriError(404, "Playback not found")
        if playback.state == "queued":
            playback.stopped.set()  # reported when its turn comes
        elif playback.media[playback.index].startswith(_UNSTOPPABLE):
            raise AriError(500, "Could not stop playback")
        else:
            self._switch.finish(playback, "done")

    async def _play(self, playback: Playback, lock: asyncio.Lock) -> None:
        async with lock:
            played = True
            for index, media in enumerate(playback.media):
                if playback.stopped.is_set():
                    break
                playback.index = index
                playback.state = "playing"
                self._switch.report(playback, "PlaybackStarted")
                seconds = self._sounds.seconds(media)
                played = seconds is not None
                if seconds is not None:
                    await self._wait(playback, seconds)
                if index + 1 < len(playback.media) and not playback.stopped.is_set():
                    playback.state = "continuing"
                    self._switch.report(playback, "PlaybackContinuing")
            if played or media.startswith("sound:"):
                self._switch.finish(playback, "done" if played else "failed")
            else:  # never reports its end
                self._switch.playbacks.pop(playback.id, None)

    async def _wait(self, playback: Playback, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await playback.stopped.wait()
        except TimeoutError:
            pass
