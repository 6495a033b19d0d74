"""The composition root: builds every part, starts and stops them in order, and looks after calls left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from stasis_callback import process
from stasis_callback.ari.cel import CelJournal
from stasis_callback.ari.client import AriClient
from stasis_callback.ari.errors import AriError
from stasis_callback.ari.events import ChannelSnapshot, ChannelStateChange, Dial, Event, StasisStart
from stasis_callback.ari.link import AriLink, Lost
from stasis_callback.beside import beside
from stasis_callback.clock import Clock
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.states import LIVE, UNDER_WAY
from stasis_callback.engine.admission.incoming_numbers import IncomingNumbers
from stasis_callback.engine.admission.missed_calls import Admission
from stasis_callback.engine.dialer import Dialer
from stasis_callback.engine.ending import take_back
from stasis_callback.engine.forwarding import JournalForwarder
from stasis_callback.engine.funding import Funding
from stasis_callback.engine.nodes import NodeKeeper
from stasis_callback.engine.queue_watch import QueueWatch
from stasis_callback.engine.routing import Router
from stasis_callback.engine.tools import CallTools
from stasis_callback.engine.trunk_health import TrunkHealth
from stasis_callback.ivr.call import LinkLost
from stasis_callback.process import REPLACED, Ports
from stasis_callback.resources import sounds_dir
from stasis_callback.settings import Settings
from stasis_callback.store.retention import Retention
from stasis_callback.store.stores import Stores
from stasis_callback.triggers.missed_call import INCOMING, MissedCallTrigger
from stasis_callback.workers import Pool, Worker, Workers

if TYPE_CHECKING:  # a node without the web or e-mail does not load it
    from stasis_callback.mail.server import MailServer
    from stasis_callback.monitoring.monitor import Monitor
    from stasis_callback.web.server import WebServer

log = structlog.get_logger()

TRIGGER_THREADS = 8
HOUSEKEEPING_S = 5.0
CHANNELS_A_ROUND = 1000
"""For each thousand channels the next look at all of them comes one round of housekeeping later."""


class Service:
    """One node: one Asterisk, one database."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        clock: Clock,
        ports: Ports = process.NO_PORTS,
        *,
        client: AriClient | None = None,
        connect: Callable[[], Any] | None = None,
    ) -> None:
        """Prepare everything; nothing is connected yet. Raises CallbackError when the database is another version's.

        `ports` are there already, or made at the start. `client` and `connect` are for a simulation, which has no
        sockets.
        """
        self._clock = clock
        self.stores = stores
        self.workers = Workers()
        self.stores.database.check_schema()
        self.client = client or AriClient.of(settings.ari, clock)
        self.link = AriLink(
            self.client,
            on_unwatched=self._on_unwatched,
            on_connected=self._on_connected,
            on_lost=self._on_lost,
            on_replaced=self._on_replaced,
            clock=self._clock,
            connect=connect,
        )
        self.trunk_health = TrunkHealth(clock, settings.limits.trunk_failures, settings.limits.trunk_rest_s)
        tools = self._call_tools(settings)
        self._reconciled_connection = self._told_connection = self._rounds_to_look = 0
        self.dialer = Dialer(
            tools, settings.limits.live_calls, lambda: self.reconciled and self.node.may_dial()
        )
        self.node = self._node_keeper(settings, tools.journal)
        self._queue_watch = QueueWatch(self.stores, self._clock, self.dialer.wake)
        admission = Admission(self.stores, self._clock, settings.limits.queue)
        incoming = IncomingNumbers(settings.asterisk.number_form)
        self._missed_calls = MissedCallTrigger(
            self.client, self.stores.trunks, incoming, admission, self.dialer, settings.node
        )
        self._triggers = Pool("trigger", TRIGGER_THREADS, clock)
        self.workers.add(
            self.node.worker,
            self.dialer.worker,
            self._queue_watch.worker,
            *self.link.workers,
            *self._triggers.workers,
            *self._in_background(settings),
        )
        self.monitor = self._monitor(settings, ports) if settings.web.enabled or ports.metrics else None
        self.web = self._web_server(settings, self.monitor, ports) if settings.web.enabled else None
        self.mail = self._mail_server(settings, ports) if settings.email.enabled else None
        self._wake = self._clock.inbox()
        self._exit_code = 0

    def _call_tools(self, settings: Settings) -> CallTools:
        """The services shared by all calls."""
        return CallTools(
            stores=self.stores,
            client=self.client,
            watcher=self.link,
            journal=CelJournal(settings.asterisk.cel_path, clock=self._clock),
            funding=Funding(self.stores),
            clock=self._clock,
            health=self.trunk_health,
            sounds=sounds_dir(),
            router=Router(
                self.stores.trunks,
                self.stores.tariffs,
                self._clock,
                settings.asterisk.trunk,
                settings.asterisk.number_form,
            ),
        )

    def _in_background(self, settings: Settings) -> list[Worker]:
        """What is done beside calls, and what no call waits for."""
        retention = Retention(self.stores.database, self._clock, settings.retention.days)
        self._background = [self.stores.tariffs.worker(), retention.worker(), self.stores.totals.worker()]
        return self._background

    def _node_keeper(self, settings: Settings, journal: CelJournal) -> NodeKeeper:
        return NodeKeeper(
            self.stores,
            self.client,
            journal,
            self._clock,
            dead_after_s=settings.limits.node_dead_after_s,
            under_way=lambda: [session.request.id for session in self.dialer.sessions],
            trunks=self.trunk_health.states,
            on_left_behind=self.dialer.wake,
            on_replaced=lambda: self.stop(REPLACED),
        )

    def _monitor(self, settings: Settings, ports: Ports) -> Monitor:
        from stasis_callback.monitoring.monitor import Monitor

        return Monitor(
            settings.database,
            self.stores,
            self._clock,
            self.workers,
            trouble=self.trouble,
            trunks=self.trunk_health,
            port=ports.metrics,
        )

    def _web_server(self, settings: Settings, monitor: Monitor | None, ports: Ports) -> WebServer:
        from stasis_callback.web.server import WebServer

        assert monitor is not None
        return WebServer(
            settings,
            self.stores,
            self._clock,
            wake_dialer=self.dialer.wake,
            end_call=lambda request_id: take_back(self.stores, self.client, request_id),
            monitor=monitor,
            workers=self.workers,
            port=ports.web,
        )

    def _mail_server(self, settings: Settings, ports: Ports) -> MailServer:
        from stasis_callback.mail.server import MailServer

        mail = MailServer(settings, self.stores, self._clock, wake_dialer=self.dialer.wake, port=ports.mail)
        self.workers.add(*mail.workers)
        return mail

    def keep_beside(self, worker: Worker) -> None:
        """Have another worker started and stopped with those in the background."""
        self._background.append(worker)
        self.workers.add(worker)

    def taken(self) -> bool:
        """Whether another process is connected under our application's name, for certain."""
        return self.client.taken()

    def enter(self) -> None:
        """Take the node's name. Raises NodeAlive when another process is the node of this name, and StoreUnavailable;
        then nothing is begun, and it may be tried again.
        """
        self.node.start()

    def start(self) -> None:
        """Once entered: serve, then connect to Asterisk, take care of calls left behind, and begin to call."""
        if self.monitor:
            self.monitor.start()
        if self.web:
            self.web.start()
        if self.mail:
            self.mail.start()
        self._read_price_lists()
        for worker in self._background:
            worker.start()
        self._triggers.start()
        self.dialer.start()
        self._queue_watch.start()
        self.link.start()

    def _read_price_lists(self) -> None:
        """Before the first call, which would wait for that: a million rates take seconds."""
        try:
            self.stores.tariffs.warm()
        except StoreUnavailable as error:
            log.warning("prices.not_read", error=str(error))  # their worker goes on trying

    def stop(self, exit_code: int = 0) -> None:
        """Make `run` return. Live calls continue in Asterisk, within their timers."""
        self._exit_code = self._exit_code or exit_code
        self.stores.database.hurry()
        self.node.give_up()
        self._wake.put("stop")

    def run(self) -> int:
        """Once entered: start, work until stopped, and clean up; the exit code."""
        self.start()
        while self._wake.get(HOUSEKEEPING_S) is None:
            self.keep_house()
        self.close()
        return self._exit_code

    def close(self) -> None:
        """Stop accepting calls and close everything except the database."""
        if self.mail:
            self.mail.stop()
        if self.web:
            self.web.stop()
        self._queue_watch.stop()
        self.dialer.stop()
        self.link.stop()
        self._triggers.stop()
        for worker in self._background:
            worker.stop()
        if self.monitor:
            self.monitor.stop()
        self.node.stop()
        self.client.close()

    @property
    def reconciled(self) -> bool:
        """Whether the calls were compared with Asterisk's since the connection that is up was made."""
        return self._reconciled_connection == self.link.connection != 0

    def trouble(self) -> str:
        """Why no callbacks can be made now, apart from the state of the workers; "" if there is no problem."""
        return "" if self.reconciled else "not connected to Asterisk"

    def keep_house(self) -> None:
        """Run the periodic tasks; the failure of one does not affect the others."""
        for duty in self._duties():
            try:
                duty()
            except Exception:
                log.exception("housekeeping.failed", duty=duty.__name__)

    def _duties(self) -> list[Callable[[], object]]:
        """The periodic tasks."""
        duties: list[Callable[[], object]] = [
            self.workers.revive,
            self._renew_leases,
            self.dialer.end_taken_back,
        ]
        if self.link.connected:
            duties += [self.client.time.measure, self._look_again if self.reconciled else self._reconcile]
        return duties

    def _renew_leases(self) -> None:
        self.dialer.renew_leases(self.link.heard_ago_s)

    # --- called by the link ------------------------------------------------------------------------------------

    def _on_unwatched(self, event: Event) -> None:
        if isinstance(event, StasisStart) and event.args[:1] == (INCOMING,):
            self._triggers.submit(partial(self._missed_calls.handle, event.channel, event.args))
            return
        if not self.reconciled or event.channel_id is None:
            return  # a leg from before a restart is not stray: recovery is about to take it over
        request_id = event.args[-1] if isinstance(event, StasisStart) and event.args else ""
        if isinstance(event, StasisStart) and not self.dialer.works_on(request_id):
            # A leg of ours that answers after its call was given up: nobody would talk to it.
            self._triggers.submit(partial(self._hang_up_stray, event.channel_id))
        elif isinstance(event, StasisStart | ChannelStateChange | Dial) and "-" in event.channel_id:
            self._triggers.submit(partial(self._hang_up_settled, event.channel_id))

    def _hang_up_settled(self, channel_id: str) -> None:
        """End a leg that lives although it is settled: Asterisk called it when nobody waited for that any more."""
        try:
            is_over = bool(self.stores.calls.settled([channel_id]))
        except StoreUnavailable as error:
            log.warning("leg.stray_not_ended", leg=channel_id, error=str(error))
            return
        if is_over:
            self._hang_up_stray(channel_id)

    def _hang_up_stray(self, channel_id: str) -> None:
        try:
            if self.client.channel(channel_id).hang_up():
                log.warning("leg.stray", leg=channel_id)
        except AriError as error:
            log.warning("leg.stray_not_ended", leg=channel_id, error=str(error))

    def _on_connected(self) -> None:
        log.info("asterisk.connected")
        try:
            self.client.time.measure()
            self._reconcile()
        except Exception:
            log.exception("reconcile.failed")  # housekeeping tries again

    def _tell_sessions(self, connection: int) -> None:
        """Tell the calls under way, once, that the link is back."""
        if connection == self._told_connection:
            return
        self._told_connection = connection
        answered_at_us = self._answered_at_us()
        for session in self.dialer.sessions:
            session.link_is_back(answered_at_us)

    def _answered_at_us(self) -> int:
        """When Asterisk answered first since the link was lost, by its clock."""
        answered_s = self.link.answered_s
        return self.client.time.now_us() if answered_s is None else self.client.time.at_us(answered_s)

    def _reconcile(self) -> None:
        """Compare what we believe with what Asterisk has; only then are new calls made."""
        connection = self.link.connection
        try:
            info = self.client.info()
        finally:
            # Before the database is asked: calls go on also while it is away, or locked.
            self._tell_sessions(connection)
        self.node.meets(info)
        channels = self._look_at_calls()
        for channel in channels:
            # Missed calls that came while nobody was there to hear of them still hang in Asterisk.
            if channel.app == self.client.app and channel.app_args[:1] == (INCOMING,):
                self._triggers.submit(partial(self._missed_calls.handle, channel, channel.app_args))
        # A connection that broke meanwhile is not the one that was looked at.
        self._reconciled_connection = connection
        self.dialer.wake()

    def _look_again(self) -> None:
        """Look at all calls, at thousands now and then: it is much work, for Asterisk too, and holds up everybody."""
        self._rounds_to_look -= 1
        if self._rounds_to_look <= 0 or self.dialer.has_orphans():
            self._rounds_to_look = 1 + len(self._look_at_calls()) // CHANNELS_A_ROUND

    def _look_at_calls(self) -> list[ChannelSnapshot]:
        """Recover calls that nobody works on, end legs and bridges of ours that belong to none; the channels."""
        seen_at_us, seen_s = self.client.time.now_us(), self._clock.monotonic_s()
        connection = self.link.connection
        channels = self.client.channels.list()
        found = self.dialer.recover_orphans({channel.id: channel for channel in channels})
        if self.link.connection != connection:
            # These were not known yet when its loss was told: that they live is known of this moment.
            for session in found:
                session.link_is_lost(LinkLost(seen_at_us, seen_s, silent=False))
                if self.link.connected:
                    session.link_is_back(self._answered_at_us())
        # A leg A that rings is in no application yet: it is known by its name alone.
        named = {channel.id for channel in channels if "-" in channel.id}
        named -= self.stores.calls.open_ids() if named else set()
        settled = self.stores.calls.settled(named) if named else ()
        for channel in channels:
            if channel.id in settled or self._is_abandoned(channel):
                self._hang_up_stray(channel.id)
        self._destroy_stray_bridges()
        return channels

    def _is_abandoned(self, channel: ChannelSnapshot) -> bool:
        """Whether it is a leg of ours whose callback is over."""
        if channel.app != self.client.app or channel.app_args[:1] not in (("leg-a",), ("leg-b",)):
            return False
        request_id = channel.app_args[-1]
        return not (self.dialer.works_on(request_id) or self._is_open(request_id))

    def _destroy_stray_bridges(self) -> None:
        """Destroy bridges whose call is over: Asterisk may have made one when nobody waited for it any more."""
        for bridge in self.client.bridges.list():
            state = None if self.dialer.works_on(bridge.id) else self.stores.requests.state(bridge.id)
            if state is not None and state not in LIVE and self.client.bridge(bridge.id).destroy():
                log.warning("bridge.stray", call=bridge.id)

    def _is_open(self, request_id: str) -> bool:
        """Whether a request is under way, here or at another node."""
        state = self.stores.requests.state(request_id)
        return state in UNDER_WAY

    def _on_lost(self, lost: Lost) -> None:
        log.error("asterisk.lost", reason=lost.reason)
        told = LinkLost(self.client.time.at_us(lost.heard_s), lost.heard_s, lost.silent)
        for session in self.dialer.sessions:
            session.link_is_lost(told)

    def _on_replaced(self) -> None:
        log.error(
            "asterisk.replaced",
            hint="another process connected with the same Stasis application: this one stops",
        )
        self.stop(REPLACED)


class WebOnly:
    """The web server alone, beside nodes that make the calls: they find what it queues in the database."""

    def __init__(self, settings: Settings, stores: Stores, clock: Clock, ports: Ports) -> None:
        """Prepare everything; nothing is served yet."""
        from stasis_callback.monitoring.monitor import Monitor
        from stasis_callback.web.server import WebServer

        self._client = AriClient.of(settings.ari, clock)
        self._wake = clock.inbox()
        self._workers = Workers()
        self._monitor = Monitor(
            settings.database, stores, clock, self._workers, trouble=lambda: "", port=ports.metrics
        )
        self.web = WebServer(
            settings,
            stores,
            clock,
            wake_dialer=lambda: None,
            end_call=lambda request_id: take_back(stores, self._client, request_id),
            monitor=self._monitor,
            workers=self._workers,
            port=ports.web,
        )

    def taken(self) -> bool:
        """Always False: there may be any number of web servers."""
        return False

    def enter(self) -> None:
        """Nothing: it has no place of its own."""

    def stop(self) -> None:
        """Make `run` return."""
        self._wake.put("stop")

    def run(self) -> int:
        """Serve until stopped; the exit code."""
        self._monitor.start()
        self.web.start()
        while self._wake.get(HOUSEKEEPING_S) is None:
            self._workers.revive()
        self.web.stop()
        self._monitor.stop()
        self._client.close()
        return 0


class JournalOnly:
    """What forwards the CEL journal of this machine's Asterisk, beside the service and longer than it."""

    def __init__(self, settings: Settings, stores: Stores, clock: Clock) -> None:
        """Prepare everything; nothing is read yet. Raises CallbackError when the database is another version's."""
        stores.database.check_schema()
        self._client = AriClient.of(settings.ari, clock)
        self._wake = clock.inbox()
        self._forwarder = JournalForwarder(
            stores.journals, self._client, settings.asterisk.cel_path, settings.node, clock
        )

    def taken(self) -> bool:
        """Always False: two of them do the same twice, which does no harm."""
        return False

    def enter(self) -> None:
        """Nothing: it has no place of its own."""

    def stop(self) -> None:
        """Make `run` return."""
        self._wake.put("stop")

    def run(self) -> int:
        """Forward until stopped; the exit code."""
        self._forwarder.worker.start()
        while self._wake.get(HOUSEKEEPING_S) is None:
            self._forwarder.worker.start()  # unless it runs
        self._forwarder.worker.stop()
        self._client.close()
        return 0


def run(
    settings: Settings,
    *,
    only: process.Only = "",
    take_over: bool = False,
    console: Sequence[str] = (),
) -> int:
    """Run a node, or one part of it alone, in the foreground until SIGTERM or SIGINT; the exit code.

    `console` is the command that serves the console, in a process beside that of the node.
    """

    def make(stores: Stores, clock: Clock, ports: Ports) -> process.Runnable:
        if only == "web":
            return WebOnly(settings, stores, clock, ports)
        if only == "journal":
            return JournalOnly(settings, stores, clock)
        service = Service(settings, stores, clock, ports)
        if console and settings.console.enabled:
            service.keep_beside(beside("console", console, stores.operators.any, clock))
        return service

    return process.run(settings, make, only=only, take_over=take_over)
