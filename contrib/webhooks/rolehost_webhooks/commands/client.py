"""HTTP client of the commands."""

from __future__ import annotations

import uuid
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import quote
from urllib.request import HTTPErrorProcessor, ProxyHandler, Request, build_opener

import click
import msgspec

#: Seconds to connect, and for each wait for bytes.
TIMEOUT = 10.0


class Client:
    """Calls the API of a running host.

    Args:
        url: base URL of the host, without ``/api/v1``.
        token: the bearer token, or None to send none.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        self._opener = build_opener(ProxyHandler({}), _EveryStatus)

    def call(self, method: str, *path: str, body: bytes | None = None, query: str = "") -> Any:
        """Call a path below ``/api/v1``; return the decoded answer, or None if it is empty.

        Raises:
            click.ClickException: if there is no answer, or the answer is an error.
        """
        url = "/".join((f"{self.url}/api/v1", *(quote(part, safe="") for part in path))) + query
        headers = self._headers
        if method == "POST":
            headers = {**headers, "idempotency-key": str(uuid.uuid4())}
        request = Request(url, data=body, headers=headers, method=method)
        try:
            with self._opener.open(request, timeout=TIMEOUT) as response:
                data = response.read()
        except (OSError, HTTPException) as error:
            raise click.ClickException(
                f"no host answers at {self.url} ({type(error).__name__}); is rolehost run running?"
            ) from None
        if response.status >= 400:
            raise click.ClickException(f"{method} {url}: {response.status} {_error_text(data)}")
        return msgspec.json.decode(data) if data else None


class _EveryStatus(HTTPErrorProcessor):
    """Returns every response, and follows no redirect."""

    def http_response(self, _request: Request, response: HTTPResponse) -> HTTPResponse:
        """Return the response; overrides urllib's method."""
        return response

    https_response = http_response


def _error_text(body: bytes) -> str:
    """Return the message in the body of an error, in one line."""
    try:
        error = msgspec.json.decode(body)
        detail = error["detail"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(each['loc'])}: {each['msg']}" for each in detail)
    return str(detail)
