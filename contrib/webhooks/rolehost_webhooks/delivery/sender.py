"""The HTTP client of all deliveries: one deadline, no redirects, no cookies, TLS verified."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncGenerator, Mapping
from urllib.parse import quote

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar
from yarl import URL

from rolehost_webhooks import __version__
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.connections import MAX_HEAD, Connector, connected
from rolehost_webhooks.delivery.failure import NotHttp, explain
from rolehost_webhooks.delivery.guard import Guard
from rolehost_webhooks.rules import with_ascii_host
from rolehost_webhooks.settings import DeliverySettings

USER_AGENT = f"rolehost-webhooks/{__version__}"

#: Bytes of a response that are read and dropped after the kept ones, so that its connection can be
#: used again. After them the connection is closed.
DROPPED = 131_072

#: Maximum bytes as sent for each byte of a body: a byte may be a chunk of 6 bytes.
FRAMING = 8

#: Bytes of a response that wait in memory until they are read.
BUFFER = 16_384

#: Characters of a URL that are sent as they are; others are percent-encoded.
_SENT_AS_THEY_ARE = "%:/?#[]@!$&'()*+,;=-._~"


class Sender:
    """Sends requests. One instance for each process.

    Its connections belong to the event loop that uses it, and are closed when that loop ends its
    asynchronous generators (``loop.shutdown_asyncgens``).
    """

    def __init__(self, settings: DeliverySettings) -> None:
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sessions: AsyncGenerator[ClientSession, None]
        self._session: ClientSession

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request and read the beginning of its response; errors do not raise.

        The whole attempt ends after ``timeout`` seconds: name lookup, connection, TLS, request,
        head and body of the response. A redirect is not followed, as Standard Webhooks requires.
        """
        started = time.monotonic()
        connected.set(False)
        try:
            session = await self._opened()
            async with asyncio.timeout(self._settings.timeout):
                response = await session.post(
                    _exact(url),
                    # aiohttp would write large bytes at once.
                    data=io.BytesIO(body),
                    headers={"user-agent": USER_AGENT, "accept-encoding": "identity", **headers},
                    allow_redirects=False,
                )
                try:
                    text = await self._read(response)
                finally:
                    # This closes the connection, unless the response was read to its end.
                    response.close()
        except Exception as error:
            timeout = self._settings.timeout
            failure = explain(error, url, timeout, connected=connected.get())
            return Answer(0, failure.text, _since(started), cause=failure.cause)
        return Answer(response.status, text, _since(started), response.headers.get("retry-after"))

    async def _read(self, response: ClientResponse) -> str:
        if response.status < 100:
            raise NotHttp(f"status {response.status}")
        kept = bytearray()
        dropped = 0
        while dropped <= DROPPED:
            chunk = await response.content.readany()
            if not chunk:
                break
            room = self._settings.response_limit - len(kept)
            kept += chunk[:room]
            dropped += max(0, len(chunk) - room)
        # PostgreSQL does not accept NUL in text.
        return kept.decode("utf-8", "replace").replace("\0", "\ufffd")

    async def _opened(self) -> ClientSession:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            sessions = _sessions(self._settings)
            self._session = await anext(sessions)
            self._loop, self._sessions = loop, sessions
        return self._session


async def _sessions(settings: DeliverySettings) -> AsyncGenerator[ClientSession, None]:
    """Yield a client, and close it at the end of the loop."""
    guard = Guard(everywhere=settings.allow_private, networks=settings.networks)
    most = MAX_HEAD + FRAMING * (settings.response_limit + DROPPED)
    async with ClientSession(
        connector=Connector(guard, idle=settings.connections, most=most),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(),
        skip_auto_headers=("accept",),
        auto_decompress=False,
        read_bufsize=BUFFER,
    ) as session:
        yield session


def _exact(url: str) -> URL:
    """Return a URL that is sent as it was given: receivers may verify a signature of it.

    Raises:
        ValueError: the URL has no valid host.
    """
    return URL(quote(with_ascii_host(url), safe=_SENT_AS_THEY_ARE), encoded=True)


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
