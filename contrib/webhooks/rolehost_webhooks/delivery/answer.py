"""What comes back of one request."""

from __future__ import annotations

from dataclasses import dataclass

from rolehost_webhooks.models import Cause


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of one request.

    Attributes:
        status: HTTP status; 0 when there was no response.
        body: beginning of the response's body as text; if there was no response, one line with
            the cause.
        duration: milliseconds.
        retry_after: the header as it came, or None.
        cause: why there was no response; None when there was one.
    """

    status: int
    body: str
    duration: int
    retry_after: str | None = None
    cause: Cause | None = None
