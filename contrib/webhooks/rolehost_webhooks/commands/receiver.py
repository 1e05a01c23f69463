"""A receiver on this machine that verifies webhooks."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

#: Largest body that is taken, bytes.
LARGEST = 16_777_216


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request that arrived.

    Attributes:
        id: header ``webhook-id``.
        verified: whether the signature is right.
        body: the payload, as it came.
        error: why it was not verified; empty when it was.
    """

    id: str
    verified: bool
    body: bytes
    error: str = ""


class _Server(ThreadingHTTPServer):
    """Threads end with the process; a port that was just let go may be taken again."""

    daemon_threads = True
    allow_reuse_address = True


class Receiver:
    """Listens at once; verifies signatures after :meth:`trust` was given the secret.

    Args:
        host: address to listen on.
        port: 0 takes a free one.

    Raises:
        OSError: the port is in use.
    """

    def __init__(self, host: str, port: int) -> None:
        self.requests: queue.Queue[ReceivedRequest] = queue.Queue()
        self._webhook: Webhook | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                if not 0 <= length <= LARGEST:
                    self.send_error(413)
                    return
                body = self.rfile.read(length)
                request = receiver.check(body, dict(self.headers.items()))
                self.send_response(204 if request.verified else 401)
                self.send_header("content-length", "0")
                self.end_headers()
                receiver.requests.put(request)

            def log_message(self, *_args: object) -> None:
                """Log nothing: the command prints webhooks."""

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
