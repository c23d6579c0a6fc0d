"""What a Service is, without Kubernetes, and the clients behind it: who loses a request when a pod goes."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Service:
    """Hands each new connection to the endpoint of the moment; a connection that is there stays where it is."""

    endpoint: int
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    def __post_init__(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._join, args=(client, self.endpoint), daemon=True).start()

    def _join(self, client: socket.socket, port: int) -> None:
        try:
            upstream = socket.create_connection(("127.0.0.1", port))
        except OSError:
            client.close()
            return
        threading.Thread(target=_pump, args=(upstream, client), daemon=True).start()
        _pump(client, upstream)


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Copy bytes one way until the end, and pass the end on."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@dataclass
class Client:
    """Asks all the time, and remembers what was not answered and when the last answer came."""

    ask: Callable[[], None]
    lost: list[str] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.ask()
                self.answers.append(time.monotonic())
            except Exception as error:  # whatever it is, it was not an answer
                self.lost.append(repr(error))
                stop.wait(0.2)


def over_http(port: int, path: str, body: bytes, stays: bool) -> Client:
    """A client that keeps its connection for ever, or that has a new one for each request, as a gateway is free to."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def ask() -> None:
        if not stays:
            connection.close()
        try:
            connection.request("POST", path, body)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        assert response.status == 200

    return Client(ask)


@contextmanager
def asking(clients: list[Client]) -> Iterator[None]:
    """Let every client ask while the block runs."""
    stop = threading.Event()
    threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
