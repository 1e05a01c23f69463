"""Decides on an answer: delivered, retry or give up. Pure functions.

Source: Standard Webhooks 1.0, "Delivery": 2xx is success, everything else (redirects too) is a
failure, 410 disables the endpoint, and a receiver may request a delay with ``Retry-After``.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.models import Status

GONE = 410

#: Status codes for which ``Retry-After`` is obeyed.
THROTTLING = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on an answer.

    Attributes:
        status: new status of the delivery.
        reason: one line; empty on success.
        delay: seconds until the next attempt, or None if there is no next attempt.
        disable: whether to disable the endpoint.
    """

    status: Status
    reason: str = ""
    delay: float | None = None
    disable: bool = False


def judge(answer: Answer, *, scheduled: float, last: bool, max_delay: float, now: int) -> Verdict:
    """Return the verdict on an answer.

    Args:
        scheduled: seconds until the next attempt by the schedule.
        last: whether the schedule has no further attempt.
        max_delay: maximum delay in seconds that ``Retry-After`` can request.
        now: current time in Unix milliseconds.
    """
    if 200 <= answer.status <= 299:
        return Verdict(Status.SUCCESS)
    if answer.status == GONE:
        return Verdict(Status.FAIL, "410 Gone: the endpoint is now disabled", disable=True)
    reason = f"HTTP {answer.status}" if answer.status else answer.body[:200]
    if last:
        return Verdict(Status.FAIL, reason)
    delay = scheduled
    if answer.status in THROTTLING:
        # A receiver can make the delay longer, but not shorter.
        delay = max(scheduled, min(parse_retry_after(answer.retry_after, now), max_delay))
    return Verdict(Status.SENDING, reason, delay)


def parse_retry_after(retry_after: str | None, now: int) -> float:
    """Return the delay in seconds from a ``Retry-After`` header; 0.0 if it has none.

    Source: RFC 9110, 10.2.3: a number of seconds or a date.
    """
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - now / 1000, 0.0)
    except (ValueError, OverflowError):
        return 0.0
