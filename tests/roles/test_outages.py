"""An outage is logged at its start, ever more rarely while it lasts, and at its end."""

from __future__ import annotations

from rolehost.roles.outages import CALM, Outage
from structlog.testing import capture_logs


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_failure_a_second_is_told_ever_more_rarely() -> None:
    clock = Clock()
    outage = Outage(clock=clock, loop="relay")
    with capture_logs() as lines:
        for _ in range(100):
            outage.failed(OSError("away"))
            clock.seconds += 1
    assert [line["lasted"] for line in lines] == [0, 10, 20, 40, 80]
    assert {(line["loop"], line["error"]) for line in lines} == {("relay", "away")}


def test_it_is_over_when_nothing_has_failed_for_a_while() -> None:
    clock = Clock()
    outage = Outage(clock=clock)
    with capture_logs() as lines:
        outage.passed()
        outage.failed(OSError("away"))
        clock.seconds += 1
        outage.passed()
        outage.failed(OSError("still away"))
        clock.seconds += CALM
        outage.passed()
        outage.passed()
    assert [(line["event"], line["lasted"]) for line in lines] == [
        ("storage unavailable", 0),
        ("storage answers", 1),
    ]


def test_the_next_one_is_told_anew() -> None:
    clock = Clock()
    outage = Outage(clock=clock)
    with capture_logs() as lines:
        for _ in range(2):
            outage.failed(OSError("away"))
            clock.seconds += CALM
            outage.passed()
    assert len(lines) == 4
