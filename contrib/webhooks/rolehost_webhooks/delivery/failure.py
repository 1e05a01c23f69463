"""Explains why a request had no complete HTTP response: a cause of a fixed list, and one line.

The line contains the cause, host and port, and for a timeout the time limit, for a TLS error the
reason that OpenSSL gives. It does not contain the error text of the HTTP library, because that may
include header values or the query of a URL.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import client_exceptions as client
from aiohttp import http_exceptions as http

from rolehost_webhooks.delivery.guard import AddressRefused
from rolehost_webhooks.models import Cause

#: Characters removed from OpenSSL's text, which may include names from a certificate.
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


class NotHttp(Exception):
    """A response has a head that aiohttp accepts and HTTP does not allow."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no complete HTTP response.

    Attributes:
        text: one readable line without headers and without path or query of the URL.
    """

    cause: Cause
    text: str


#: The first row with the type of an error, or of an error that it wraps, explains it.
_EXPLANATIONS: tuple[tuple[Cause, tuple[type[BaseException], ...], str], ...] = (
    (Cause.BLOCKED, (AddressRefused,), "blocked address: {where} has no public address"),
    (Cause.DNS, (client.ClientConnectorDNSError, socket.gaierror), "name not found: {where}"),
    (Cause.TLS, (ssl.SSLError, client.ClientSSLError), "TLS failed with {where}: {detail}"),
    (Cause.REFUSED, (ConnectionRefusedError,), "connection refused by {where}"),
    (Cause.TIMEOUT, (TimeoutError,), "timeout: {where} {missing} within {timeout:g} s"),
    (
        Cause.CLOSED,
        (
            ConnectionError,
            client.ServerDisconnectedError,
            http.ContentLengthError,
            http.TransferEncodingError,
        ),
        "connection closed by {where} before the response ended",
    ),
    (
        Cause.BAD_RESPONSE,
        (http.LineTooLong,),
        "bad response: {where} sent too large a head or framing",
    ),
    (
        Cause.BAD_RESPONSE,
        (NotHttp, client.ClientResponseError, client.ClientPayloadError, http.HttpProcessingError),
        "bad response: {where} did not answer in HTTP",
    ),
    (Cause.UNREACHABLE, (OSError,), "{where} cannot be reached"),
)


def explain(error: BaseException, url: str, timeout: float, *, connected: bool) -> Failure:
    """Return why a request had no complete HTTP response.

    Args:
        error: the error of the HTTP client.
        url: URL of the request.
        timeout: timeout in seconds.
        connected: whether there was a connection.
    """
    chain = list(_chain(error))
    where = _receiver(url)
    missing = "sent no complete response" if connected else "accepted no connection"
    for cause, kinds, text in _EXPLANATIONS:
        if any(isinstance(one, kinds) for one in chain):
            detail = _tls_detail(chain)
            return Failure(
                cause, text.format(where=where, timeout=timeout, detail=detail, missing=missing)
            )
    return Failure(
        Cause.BAD_REQUEST, f"the request to {where} cannot be sent: check URL and headers"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors it wraps; aiohttp keeps them as arguments or causes.

    The deadline has no others: it may interrupt the handling of an error.
    """
    if type(error) is TimeoutError and error.errno is None:
        yield error
        return
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        wrapped = (*one.args, one.__cause__, one.__context__)
        waiting += [each for each in wrapped if isinstance(each, BaseException)]


def _receiver(url: str) -> str:
    """Return host and port of a URL, so that operators can check a firewall."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443}.get(parts.scheme, 80)
        return f"{parts.hostname or 'the receiver'} port {port}"
    except ValueError:
        return "the receiver"


def _tls_detail(chain: list[BaseException]) -> str:
    """Return OpenSSL's reason as text; errors of aiohttp lack the attributes of their types."""
    for one in chain:
        if message := getattr(one, "verify_message", ""):
            return _UNPRINTABLE.sub(" ", message)[:200]
        if isinstance(one, ssl.SSLError) and (reason := getattr(one, "reason", "")):
            return str(reason).replace("_", " ").lower()
    return "the certificate does not fit the name"
