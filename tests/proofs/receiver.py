"""A webhook receiver that stores every delivery byte for byte."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Received(NamedTuple):
    """One delivery as received; header names in lower case."""

    headers: dict[str, str]
    body: bytes


class Receiver:
    """An HTTP server on a free port of 127.0.0.1, and a ledger that knows duplicates.

    Attributes:
        wire: how often each ``webhook-id`` arrived.
        ledger: the first delivery of each ``webhook-id``, for which a deduplicating receiver acts.
    """

    def __init__(self, check: Callable[[Received], None] | None = None) -> None:
        self.wire: Counter[str] = Counter()
        self.ledger: dict[str, Received] = {}
        self.refused: list[str] = []
        self._check = check
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.receiver = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The URL for an endpoint."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def take(self, received: Received) -> bool:
        """Store one delivery; return False if its check failed, to refuse it."""
        if self._check is not None:
            try:
                self._check(received)
            except Exception as error:
                with self._changed:
                    self.refused.append(f"{type(error).__name__}: {error}")
                    self._changed.notify_all()
                return False
        with self._changed:
            name = received.headers.get("webhook-id", "")
            self.wire[name] += 1
            self.ledger.setdefault(name, received)
            self._changed.notify_all()
        return True

    def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition on the ledger holds; return whether it does."""
        with self._changed:
            return self._changed.wait_for(until, seconds)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    receiver: Receiver

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: a killed sender resets its connection, and the proofs kill senders."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            # The sender died during the request; a server does not process half a request.
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        server = self.server
        assert isinstance(server, _Server)
        taken = server.receiver.take(Received(headers, body))
        self.send_response(204 if taken else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Log nothing; the proof counts the deliveries."""


@contextmanager
def receiving(check: Callable[[Received], None] | None = None) -> Iterator[Receiver]:
    """Run a receiver during the block."""
    receiver = Receiver(check)
    try:
        yield receiver
    finally:
        receiver.close()
