"""A TCP proxy between the service and a server, which can fail without a word: nothing comes, and no RST either."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Passes bytes on. `swallow` forgets the connections there are; `swallow_new` those that come, too."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.swallow_new = False
        self._over = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._forgotten: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def swallow(self) -> None:
        """From now on nothing passes through the connections that there are, and both ends believe in them."""
        pairs, self._pairs = self._pairs, []
        self._forgotten += [end for pair in pairs for end in pair]

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Within the block nothing passes at all; what was connected is lost for good."""
        self.swallow()
        self.swallow_new = True
        try:
            yield
        finally:
            self.swallow_new = False
            self.swallow()

    def close(self) -> None:
        """Close everything."""
        self._over = True
        self.swallow()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join(5)
        for end in (self._listener, *self._forgotten):
            end.close()

    def _accept(self) -> None:
        while not self._over:
            client, _ = self._listener.accept()
            if self.swallow_new or self._over:
                self._forgotten.append(client)
                continue
            try:
                pair = client, socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()
                continue
            self._pairs.append(pair)
            thread = threading.Thread(target=self._pass, args=(pair,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _pass(self, pair: tuple[socket.socket, socket.socket]) -> None:
        other = {pair[0]: pair[1], pair[1]: pair[0]}
        with selectors.DefaultSelector() as selector:
            for end in pair:
                selector.register(end, selectors.EVENT_READ)
            while pair in self._pairs:
                for key, _ in selector.select(0.05):
                    assert isinstance(key.fileobj, socket.socket)
                    end = key.fileobj
                    data = b""
                    with suppress(OSError):
                        data = end.recv(65536)
                    if pair not in self._pairs:
                        return
                    if not data:
                        self._pairs.remove(pair)
                        for one in pair:
                            one.close()
                        return
                    with suppress(OSError):
                        other[end].sendall(data)


@contextmanager
def proxy_of(port: int) -> Iterator[Proxy]:
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
