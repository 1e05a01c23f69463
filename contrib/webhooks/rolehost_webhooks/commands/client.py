"""HTTP client of the commands."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import quote

import click
import msgspec
import urllib3


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
        self._pools = urllib3.PoolManager(timeout=urllib3.Timeout(10.0), retries=False)

    def call(self, method: str, *path: str, body: bytes | None = None, query: str = "") -> Any:
        """Call a path below ``/api/v1``; return the decoded answer, or None if it is empty.

        Raises:
            click.ClickException: if there is no answer, or the answer is an error.
        """
        url = "/".join((f"{self.url}/api/v1", *(quote(part, safe="") for part in path))) + query
        headers = self._headers
        if method == "POST":
            headers = {**headers, "idempotency-key": str(uuid.uuid4())}
        try:
            response = self._pools.request(method, url, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise click.ClickException(
                f"no host answers at {self.url} ({type(error).__name__}); is rolehost run running?"
            ) from None
        if response.status >= 400:
            raise click.ClickException(
                f"{method} {url}: {response.status} {_error_text(response.data)}"
            )
        return msgspec.json.decode(response.data) if response.data else None

    def close(self) -> None:
        """Close the connections."""
        self._pools.clear()


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
