"""Every recorder is called, also if another one fails."""

from __future__ import annotations

from typing import Any

from rolehost.observe.recorders import Recorders
from structlog.testing import capture_logs


class Remembers:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.told.append((name, *arguments))


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


def test_every_recorder_is_told_everything() -> None:
    recorders = Recorders()
    first: Any = Remembers()
    second: Any = Remembers()
    recorders.add(first)
    recorders.add(second)
    told = tell_all(recorders)
    assert first.told == second.told == told


def test_nobody_listens_until_one_is_added() -> None:
    recorders = Recorders()
    assert not recorders
    tell_all(recorders)
    listener: Any = Remembers()
    recorders.add(listener)
    assert recorders


def test_a_recorder_that_fails_is_logged_and_the_others_are_told() -> None:
    recorders = Recorders()
    failing: Any = Fails()
    remembers: Any = Remembers()
    recorders.add(failing)
    recorders.add(remembers)
    with capture_logs() as lines:
        told = tell_all(recorders)
    assert remembers.told == told
    assert [line["event"] for line in lines] == ["a recorder failed"] * len(told)
