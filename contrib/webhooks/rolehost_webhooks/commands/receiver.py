"""A local HTTP server that receives and verifies webhooks."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

#: Maximum size of a body in bytes.
MAX_BODY = 16_777_216


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request that arrived.

    Attributes:
        id: value of the header ``webhook-id``.
        verified: whether the signature is valid.
        body: the payload, unchanged.
        error: why the signature is not valid; empty if it is.
    """

    id: str
    verified: bool
    body: bytes
    error: str = ""


class _Server(ThreadingHTTPServer):
    """Uses daemon threads, and ``SO_REUSEADDR`` to bind a port that was just closed."""

    daemon_threads = True
    allow_reuse_address = True


class Receiver:
    """Listens from creation on; verifies signatures after :meth:`trust` has set the secret.

    Args:
        host: address to listen on.
        port: port to listen on; 0 selects a free one.

    Raises:
        OSError: if the port is in use.
    """

    def __init__(self, host: str, port: int) -> None:
        self.requests: queue.Queue[ReceivedRequest] = queue.Queue()
        self._webhook: Webhook | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                if not 0 <= length <= MAX_BODY:
                    self.send_error(413)
                    return
                body = self.rfile.read(length)
                request = receiver.check(body, dict(self.headers.items()))
                self.send_response(204 if request.verified else 401)
                self.send_header("content-length", "0")
                self.end_headers()
                receiver.requests.put(request)

            def log_message(self, *_args: object) -> None:
                """Log nothing, because the command prints the webhooks."""

        self._server = _Server((host, port), Handler)
        self.url = f"http://{host}:{self._server.server_address[1]}/"
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def trust(self, secret: str) -> None:
        """Verify with this secret from now on."""
        self._webhook = Webhook(secret)

    def check(self, body: bytes, headers: dict[str, str]) -> ReceivedRequest:
        """Verify one request."""
        names = {name.lower(): value for name, value in headers.items()}
        identity = names.get("webhook-id", "")
        if self._webhook is None:
            return ReceivedRequest(identity, False, body, "the secret is not known yet")
        try:
            self._webhook.verify(body, names, json_parse=False)
        except (WebhookVerificationError, ValueError) as error:
            return ReceivedRequest(identity, False, body, str(error) or type(error).__name__)
        return ReceivedRequest(identity, True, body)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
