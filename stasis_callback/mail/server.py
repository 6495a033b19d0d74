"""Everything of e-mail in one process: listener, mailbox, answers."""

from __future__ import annotations

from collections.abc import Callable

from stasis_callback.clock import Clock
from stasis_callback.engine.admission.orders import Answer, Order, Orders, log_answer
from stasis_callback.listening import Port
from stasis_callback.mail.desk import MailDesk
from stasis_callback.mail.listener import Listener
from stasis_callback.mail.mailbox import Mailbox
from stasis_callback.mail.replies import ReplySender
from stasis_callback.settings import Settings
from stasis_callback.store.stores import Stores
from stasis_callback.workers import Worker, regularly

TIDY_S = 600.0


def open_desk(
    settings: Settings, stores: Stores, clock: Clock, wake_dialer: Callable[[], None] = lambda: None
) -> MailDesk:
    """The desk with the engine behind it; a process without a dialler leaves the callbacks in the queue."""

    def decided(order: Order, answer: Answer) -> None:
        log_answer(order, answer)
        if not answer.reason:
            wake_dialer()

    orders = Orders(stores, clock, settings.limits.queue, decided)
    return MailDesk(settings.email, stores, orders, clock)


class MailServer:
    """Takes mails and answers them, as the settings say."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        clock: Clock,
        wake_dialer: Callable[[], None],
        port: Port | None = None,
    ) -> None:
        """Nothing is taken yet. `port` is the listener's, there already or made at the start."""
        email = settings.email
        self._stores = stores
        desk = open_desk(settings, stores, clock, wake_dialer)
        self.listener = Listener(email, desk, clock, port) if email.listener != "off" else None
        self.mailbox = Mailbox(email, desk, clock) if email.imap_host else None
        self.replies = ReplySender(email, stores, clock)
        self._tidying = Worker("mail-tidy", regularly(TIDY_S, self.tidy), clock)
        self.workers = [
            self._tidying,
            self.replies.worker,
            *(self.listener.workers if self.listener else ()),
            *([self.mailbox.worker] if self.mailbox else ()),
        ]
        """Its background threads."""

    def start(self) -> None:
        """Take mails. Raises CallbackError when the listener's address cannot be had."""
        for part in (self._tidying, self.listener, self.mailbox, self.replies):
            if part is not None:
                part.start()

    def stop(self) -> None:
        """Stop receiving mails."""
        for part in (self._tidying, self.listener, self.mailbox, self.replies):
            if part is not None:
                part.stop()

    def tidy(self) -> None:
        """Remove outdated data."""
        self._stores.replies.forget_old()
        self._stores.limits.forget_old()
