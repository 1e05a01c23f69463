"""What follows from an answer."""

from __future__ import annotations

import pytest
from rolehost_webhooks.delivery.answer import Answer
from rolehost_webhooks.delivery.verdict import Verdict, judge, parse_retry_after
from rolehost_webhooks.models import Status

#: 2026-01-01 00:00:00 UTC
NOW = 1_767_225_600_000


def verdict(status: int, *, last: bool = False, retry_after: str | None = None) -> Verdict:
    answer = Answer(status, "refused", 5, retry_after)
    return judge(answer, scheduled=5.0, last=last, max_delay=600.0, now=NOW)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_every_2xx_is_a_success(status: int) -> None:
    assert verdict(status) == Verdict(Status.SUCCESS)


@pytest.mark.parametrize("status", [0, 100, 301, 302, 400, 404, 500, 503])
def test_everything_else_is_tried_again(status: int) -> None:
    found = verdict(status)
    assert (found.status, found.delay, found.disable) == (Status.SENDING, 5.0, False)
    assert found.reason


def test_the_last_failure_is_final() -> None:
    assert verdict(500, last=True) == Verdict(Status.FAIL, "HTTP 500")
    assert verdict(0, last=True).reason == "refused"


def test_gone_is_final_at_once_and_disables_the_endpoint() -> None:
    found = verdict(410)
    assert (found.status, found.delay, found.disable) == (Status.FAIL, None, True)


@pytest.mark.parametrize(
    ("status", "retry_after", "delay"),
    [
        (429, "60", 60.0),
        (503, "60", 60.0),
        (500, "60", 5.0),
        (429, "1", 5.0),
        (429, "100000", 600.0),
        (429, "Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        (429, "Wed, 31 Dec 2025 00:00:00 GMT", 5.0),
        (429, "soon", 5.0),
        (429, None, 5.0),
    ],
)
def test_a_throttling_receiver_may_slow_the_schedule_down(
    status: int, retry_after: str | None, delay: float
) -> None:
    assert verdict(status, retry_after=retry_after).delay == delay


def test_nonsense_asks_for_no_delay() -> None:
    for text in ("", "-5", "1e9", "²", "Thu, 99 Foo 2026"):
        assert parse_retry_after(text, NOW) == 0.0
