"""An outage is logged at its start, ever more rarely while it lasts, and at its end."""

from __future__ import annotations

from rolehost.errors import StorageUnavailable
from rolehost.roles.outages import OUTAGE_OVER_AFTER, Outage
from structlog.testing import capture_logs


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_one_failure_each_second_is_logged_at_growing_intervals() -> None:
    clock = Clock()
    outage = Outage(clock=clock, loop="relay")
    with capture_logs() as lines:
        for _ in range(100):
            outage.failed(StorageUnavailable("away"))
            clock.seconds += 1
    assert [line["lasted"] for line in lines] == [0, 10, 20, 40, 80]
    assert {(line["loop"], line["error"]) for line in lines} == {("relay", "away")}


def test_an_outage_is_over_after_a_time_without_failures() -> None:
    clock = Clock()
    outage = Outage(clock=clock)
    with capture_logs() as lines:
        outage.succeeded()
        outage.failed(StorageUnavailable("away"))
        clock.seconds += 1
        outage.succeeded()
        outage.failed(StorageUnavailable("still away"))
        clock.seconds += OUTAGE_OVER_AFTER
        outage.succeeded()
        outage.succeeded()
    assert [(line["event"], line["lasted"]) for line in lines] == [
        ("storage unavailable", 0),
        ("storage unavailable", 1),
        ("storage answers", 1),
    ]


def test_the_next_outage_is_logged_again() -> None:
    clock = Clock()
    outage = Outage(clock=clock)
    with capture_logs() as lines:
        for _ in range(2):
            outage.failed(StorageUnavailable("away"))
            clock.seconds += OUTAGE_OVER_AFTER
            outage.succeeded()
    assert len(lines) == 4


def test_a_new_error_is_told_at_once() -> None:
    clock = Clock()
    outage = Outage("waiting for storage", clock=clock)
    with capture_logs() as lines:
        for second in range(100):
            clock.seconds = float(second)
            outage.failed(StorageUnavailable("away" if second < 15 else "another"))
        outage.succeeded(over_after=0.0)
    assert [line["lasted"] for line in lines] == [0, 10, 15, 30, 60, 99]
    assert lines[-1]["event"] == "storage answers"
