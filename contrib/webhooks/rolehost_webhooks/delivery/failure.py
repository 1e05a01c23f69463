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
from http.client import BadStatusLine, HTTPException, RemoteDisconnected
from urllib.parse import urlsplit

import urllib3.exceptions as urllib3

from rolehost_webhooks.delivery.guard import AddressRefused
from rolehost_webhooks.models import Cause

#: Characters removed from OpenSSL's text, which may include names from a certificate.
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no complete HTTP response.

    Attributes:
        text: one readable line without headers and without path or query of the URL.
    """

    cause: Cause
    text: str


def explain(error: BaseException, url: str, timeout: float) -> Failure:
    """Return why a request had no complete HTTP response.

    Args:
        error: the error of the HTTP client.
        url: URL of the request.
        timeout: timeout in seconds.
    """
    chain = list(_chain(error))
    where = _receiver(url)
    for cause, kinds, text in (
        (Cause.BLOCKED, (AddressRefused,), "blocked address: {where} has no public address"),
        (Cause.DNS, (urllib3.NameResolutionError, socket.gaierror), "name not found: {where}"),
        (Cause.TLS, (ssl.SSLError, urllib3.SSLError), "TLS failed with {where}: {detail}"),
        (Cause.REFUSED, (ConnectionRefusedError,), "connection refused by {where}"),
        # This comes before ConnectTimeoutError, of which urllib3 makes it a subclass.
        (Cause.UNREACHABLE, (urllib3.NewConnectionError,), "{where} cannot be reached"),
        (
            Cause.TIMEOUT,
            (urllib3.ConnectTimeoutError,),
            "timeout: {where} accepted no connection within {timeout:g} s",
        ),
        (
            Cause.TIMEOUT,
            (urllib3.TimeoutError, TimeoutError),
            "timeout: {where} sent no response within {timeout:g} s",
        ),
        (
            Cause.CLOSED,
            (RemoteDisconnected, ConnectionError, urllib3.IncompleteRead),
            "connection closed by {where} before the response ended",
        ),
        (
            Cause.BAD_RESPONSE,
            (BadStatusLine, HTTPException, urllib3.ProtocolError, urllib3.DecodeError),
            "bad response: {where} did not answer in HTTP",
        ),
        (Cause.UNREACHABLE, (OSError,), "{where} cannot be reached"),
    ):
        found = next((one for one in chain if isinstance(one, kinds)), None)
        if found is not None:
            detail = _tls_detail(chain)
            return Failure(cause, text.format(where=where, timeout=timeout, detail=detail))
    return Failure(
        Cause.BAD_REQUEST, f"the request to {where} cannot be sent: check URL and headers"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors it wraps; urllib3 keeps them as arguments or causes."""
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
    """Return OpenSSL's reason as text."""
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError) and one.verify_message:
            return _UNPRINTABLE.sub(" ", one.verify_message)[:200]
        if isinstance(one, ssl.SSLError) and one.reason:
            return str(one.reason).replace("_", " ").lower()
    return "the certificate does not fit the name"
