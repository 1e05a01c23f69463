"""Every recorder is called, also if another one fails."""

from __future__ import annotations

from typing import Any

from rolehost.observe.recorders import Recorders
from structlog.testing import capture_logs


class Remembers:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, *arguments))


class Fails:
    def __getattr__(self, name: str) -> Any:
        def fail(*_: Any) -> None:
            raise RuntimeError(name)

        return fail


def tell_all(recorders: Recorders) -> list[Any]:
    recorders.request("GET", "/x", 200, 0.1)
    recorders.job("send", "completed", 0.2, 0.3)
    recorders.event("orders", "billing", "handled", 0.4, 0.5)
    recorders.relayed(3, 0.6)
    recorders.undeclared("topic", "orders")
    recorders.cache("prices", "hit", 2)
    return [
        ("request", "GET", "/x", 200, 0.1),
        ("job", "send", "completed", 0.2, 0.3),
        ("event", "orders", "billing", "handled", 0.4, 0.5),
        ("relayed", 3, 0.6),
        ("undeclared", "topic", "orders"),
        ("cache", "prices", "hit", 2),
    ]


def test_every_recorder_gets_every_call() -> None:
    recorders = Recorders()
    first: Any = Remembers()
    second: Any = Remembers()
    recorders.add(first)
    recorders.add(second)
    expected = tell_all(recorders)
    assert first.calls == second.calls == expected


def test_recording_is_off_until_a_recorder_is_added() -> None:
    recorders = Recorders()
    assert not recorders
    tell_all(recorders)
    listener: Any = Remembers()
    recorders.add(listener)
    assert recorders


def test_a_failing_recorder_is_logged_and_the_others_are_called() -> None:
    recorders = Recorders()
    failing: Any = Fails()
    remembers: Any = Remembers()
    recorders.add(failing)
    recorders.add(remembers)
    with capture_logs() as lines:
        expected = tell_all(recorders)
    assert remembers.calls == expected
    assert [line["event"] for line in lines] == ["a recorder failed"] * len(expected)
