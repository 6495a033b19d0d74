"""Applications of a fake Asterisk: who is connected, who hears what.

As in Asterisk an application outlives its connection while it is subscribed to anything, keeps its event filter
meanwhile, and what happens while it is away is never sent later. One that is over is forgotten when any application
comes or goes, not when its last channel does (Asterisk cleans up lazily).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .model import AriError, Bridge, Channel, Json

Send = Callable[[Json], None]


@dataclass
class App:
    """One application. `interest` counts subscriptions by event source (`channel:ID`, `bridge:ID`)."""

    name: str
    send: Send | None = None
    interest: Counter[str] = field(default_factory=Counter)
    allowed: list[Json] = field(default_factory=list)
    disallowed: list[Json] = field(default_factory=list)

    def json(self) -> Json:
        """As `GET /applications/{app}` shows it."""
        return {
            "name": self.name,
            "channel_ids": self._ids("channel:"),
            "bridge_ids": self._ids("bridge:"),
            "endpoint_ids": [],
            "events_allowed": self.allowed,
            "events_disallowed": self.disallowed,
        }

    def wants(self, event_type: str) -> bool:
        """True when the event filter lets this type through."""
        if any(one["type"] == event_type for one in self.disallowed):
            return False
        return not self.allowed or any(one["type"] == event_type for one in self.allowed)

    def _ids(self, prefix: str) -> list[str]:
        return [source.removeprefix(prefix) for source in self.interest if source.startswith(prefix)]


class Apps:
    """All applications; every event is sent to them from here."""

    def __init__(self, stamp: Callable[[Json], Json]) -> None:
        self._stamp = stamp
        self.by_name: dict[str, App] = {}

    def connect(self, name: str, send: Send) -> None:
        """A websocket connects for `name`: it replaces an earlier one, which is told so and stays open."""
        self._forget_what_is_over()
        app = self.by_name.setdefault(name, App(name))
        if app.send is not None:
            self.tell(app, {"type": "ApplicationReplaced"})
        app.send = send

    def disconnect(self, send: Send) -> None:
        """A websocket is closed; its applications stay while they have subscriptions."""
        for app in list(self.by_name.values()):
            if app.send == send:
                app.send = None
        self._forget_what_is_over()

    def find(self, name: str) -> App:
        """The application, or 404."""
        if name not in self.by_name:
            raise AriError(404, "Application not found")
        return self.by_name[name]

    def active(self, name: str | None) -> bool:
        """True when the application exists and a worker is connected."""
        return name in self.by_name and self.by_name[name].send is not None

    def subscribe(self, name: str | None, source: str) -> None:
        """Count one more interest of application `name` (when it exists) in `source`."""
        if name in self.by_name:
            self.by_name[name].interest[source] += 1

    def unsubscribe(self, name: str | None, source: str) -> None:
        """Remove one subscription, if there is any."""
        if name in self.by_name and self.by_name[name].interest[source] > 0:
            app = self.by_name[name]
            app.interest[source] -= 1
            app.interest += Counter()  # drops zeros

    def forget_source(self, source: str) -> None:
        """Remove all subscriptions to a channel or bridge that has ended."""
        for app in list(self.by_name.values()):
            app.interest.pop(source, 0)

    def publish(
        self,
        event_type: str,
        *,
        channel: Channel | None = None,
        bridge: Bridge | None = None,
        **fields: object,
    ) -> None:
        """Send an event to every application interested in its channel or bridge, once each."""
        event: Json = {"type": event_type, **fields}
        sources = []
        if channel is not None:
            event["peer" if event_type == "Dial" else "channel"] = channel.json()
            sources.append(f"channel:{channel.id}")
        if bridge is not None:
            event["bridge"] = bridge.json()
            sources.append(f"bridge:{bridge.id}")
        if "playback" in event:  # names its target itself
            event = {"type": event_type, **fields}
        for app in list(self.by_name.values()):
            if any(app.interest[source] for source in sources):
                self.tell(app, dict(event))

    def tell(self, app: App, event: Json) -> None:
        """Send one event to one application; it is lost when no websocket is connected."""
        if app.send is not None and app.wants(event["type"]):
            app.send(self._stamp({**event, "application": app.name}))

    def user_event(self, name: str, event_name: str) -> None:
        """Send an application an event that somebody asked for; 404 if there is none of that name."""
        told = {"eventname": event_name, "userevent": {"eventname": event_name}}
        self.tell(self.find(name), {"type": "ChannelUserevent", **told})

    def _forget_what_is_over(self) -> None:
        for app in list(self.by_name.values()):
            if app.send is None and not app.interest:
                self.by_name.pop(app.name, None)
