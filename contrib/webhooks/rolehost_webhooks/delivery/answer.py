"""What comes back of one request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of one request.

    Attributes:
        status: HTTP status; 0 when there was no response.
        body: beginning of the response's body as text, or why there was no response.
        duration: milliseconds.
        retry_after: the header as it came, or None.
    """

    status: int
    body: str
    duration: int
    retry_after: str | None = None
