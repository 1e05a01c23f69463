"""What follows from an answer: delivered, try again, or give up. Pure.

Source: Standard Webhooks 1.0, "Delivery": 2xx is success, everything else (redirects too) is a
failure, 410 disables the endpoint, and a receiver may ask for time with ``Retry-After``.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.models import Status

GONE = 410

#: Answers whose ``Retry-After`` is obeyed.
THROTTLING = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an answer.

    Attributes:
        status: how the delivery stands now.
        reason: one line; empty on success.
        delay: seconds until the next attempt; None if there is no next one.
        disable: whether the endpoint takes no more messages.
    """

    status: Status
    reason: str = ""
    delay: float | None = None
    disable: bool = False


def judge(answer: Answer, *, planned: float, last: bool, longest: float, now: int) -> Verdict:
    """Return the verdict on an answer.

    Args:
        planned: seconds until the next attempt by the schedule.
        last: whether the schedule has no further attempt.
        longest: seconds up to which ``Retry-After`` is obeyed.
        now: Unix milliseconds.
    """
    if 200 <= answer.status <= 299:
        return Verdict(Status.SUCCESS)
    if answer.status == GONE:
        return Verdict(Status.FAIL, "410 Gone: the endpoint is now disabled", disable=True)
    reason = f"HTTP {answer.status}" if answer.status else answer.body[:200]
    if last:
        return Verdict(Status.FAIL, reason)
    delay = planned
    if answer.status in THROTTLING:
        # A receiver may slow the schedule down, not speed it up.
        delay = max(planned, min(wished_delay(answer.retry_after, now), longest))
    return Verdict(Status.SENDING, reason, delay)


def wished_delay(retry_after: str | None, now: int) -> float:
    """Return the seconds that a ``Retry-After`` header asks for; 0.0 when it asks nothing.

    Source: RFC 9110, 10.2.3: a number of seconds or a date.
    """
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - now / 1000, 0.0)
    except (ValueError, OverflowError):
        return 0.0
