"""The result of one request."""

from __future__ import annotations

from dataclasses import dataclass

from rolehost_webhooks.models import Cause


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one request.

    Attributes:
        status: HTTP status; 0 if there was no complete HTTP response.
        body: beginning of the response's body as text; if the status is 0, one line with the
            cause.
        duration: duration in milliseconds.
        retry_after: value of the ``Retry-After`` header, or None.
        cause: why there was no complete HTTP response; None if there was one.
    """

    status: int
    body: str
    duration: int
    retry_after: str | None = None
    cause: Cause | None = None
