"""Answers on a kept connection, as servers may send them: whole or in pieces, usual or not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from stasis_callback.ari.connections import REFUSED_S, Connections, NotConnected
from stasis_callback.clock import Clock

CREATED = b'HTTP/1.1 201 Created\r\nServer: Asterisk\r\nContent-length:  8\r\n\r\n{"id":1}'
DONE = b"HTTP/1.1 204 No Content\r\nServer: Asterisk\r\nContent-Length: 0\r\n\r\n"


class Server:
    """Answers each request on a connection with the next of `answers`: pieces that are sent one by one."""

    def __init__(self, port: int = 0) -> None:
        self.answers: list[list[bytes]] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/ari"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            while request := _received(sock):
                self.requests.append(request)
                pieces = self.answers.pop(0)
                for piece in pieces:
                    sock.sendall(piece)
                if pieces[-1] == b"":
                    return

    def close(self) -> None:
        self._listening.close()


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65_536)
    except ConnectionError:  # a client that is closed resets its connections
        return b""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def ask(server: Server) -> Iterator[Callable[[], tuple[int, bytes]]]:
    connections = Connections(server.url, 5.0, {"Authorization": "Basic x"}, Clock())
    yield lambda: connections.exchange("GET", "/ari/x", None)
    connections.close()


Ask = Callable[[], tuple[int, bytes]]


def bytewise(answer: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in answer]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([CREATED], (201, b'{"id":1}')),
        (bytewise(CREATED), (201, b'{"id":1}')),
        ([DONE], (204, b"")),
        ([b"HTTP/1.1 204 No Content\r\nServer: Asterisk\r\n\r\n"], (204, b"")),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"0\r\n\r\n"], (200, b"abc")),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", CREATED], (201, b'{"id":1}')),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" + CREATED], (201, b'{"id":1}')),
    ],
    ids=["whole", "bytewise", "empty", "empty without a length", "chunked", "continue", "continue at once"],
)
def test_an_answer_is_read_to_its_end_and_the_connection_is_used_again(
    server: Server, ask: Ask, pieces: list[bytes], expected: tuple[int, bytes]
) -> None:
    server.answers = [pieces, [CREATED]]
    assert ask() == expected
    assert ask() == (201, b'{"id":1}')
    assert server.connections == 1


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nab"], (200, b"ab")),
        ([b"HTTP/1.1 200 OK\r\n\r\nab", b""], (200, b"ab")),
        ([b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab"], (200, b"ab")),
        ([CREATED + b"more than it said"], (201, b'{"id":1}')),
    ],
    ids=["closing", "until it is closed", "an old server", "more than was asked for"],
)
def test_a_connection_that_ends_with_its_answer_is_not_used_again(
    server: Server, ask: Ask, pieces: list[bytes], expected: tuple[int, bytes]
) -> None:
    server.answers = [pieces, [DONE]]
    assert ask() == expected
    assert ask() == (204, b"")
    assert server.connections == 2


@pytest.mark.parametrize("pieces", [[b""], [CREATED[:20], b""], [CREATED[:-1], b""]])
def test_an_answer_that_breaks_off_is_none(server: Server, ask: Ask, pieces: list[bytes]) -> None:
    server.answers = [pieces, [DONE]]
    with pytest.raises(ConnectionError):
        ask()
    assert ask() == (204, b"")


def test_what_is_asked(server: Server) -> None:
    server.answers = [[DONE]] * 3
    connections = Connections(server.url, 5.0, {"Authorization": "Basic x"}, Clock())
    for method, body in (("POST", None), ("DELETE", None), ("PUT", b"{}")):
        connections.exchange(method, "/ari/x?a=b%20c", body)
    fields = f"Host: {server.url.split('/')[2]}\r\nAuthorization: Basic x\r\n".encode()
    assert server.requests == [
        b"POST /ari/x?a=b%20c HTTP/1.1\r\n" + fields + b"Content-Length: 0\r\n\r\n",
        b"DELETE /ari/x?a=b%20c HTTP/1.1\r\n" + fields + b"\r\n",
        b"PUT /ari/x?a=b%20c HTTP/1.1\r\n"
        + fields
        + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    ]
    connections.close()


def test_where_nobody_listens_nothing_was_asked(server: Server) -> None:
    connections = Connections("http://127.0.0.1:9/ari", 1.0, {}, Clock())
    with pytest.raises(NotConnected):
        connections.exchange("GET", "/ari/x", None)


def test_of_all_that_ask_a_server_that_is_away_one_tries_to_connect() -> None:
    """Also when it is there again, until a moment later: then the next one tries."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = int(gone.getsockname()[1])
    now_s = 100.0
    clock = Clock()
    clock.monotonic_s = lambda: now_s  # type: ignore[method-assign]
    connections = Connections(f"http://127.0.0.1:{port}/ari", 5.0, {}, clock)
    with pytest.raises(NotConnected):
        connections.exchange("GET", "/ari/x", None)
    server = Server(port)
    server.answers = [[DONE]]
    for _ in range(3):
        with pytest.raises(NotConnected) as refused:
            connections.exchange("GET", "/ari/x", None)
        assert isinstance(refused.value.__cause__, ConnectionRefusedError)
    now_s += REFUSED_S + 0.001
    assert connections.exchange("GET", "/ari/x", None) == (204, b"")
    connections.close()
    server.close()
