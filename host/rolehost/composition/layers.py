"""The order of middleware: outermost first."""

from __future__ import annotations

from collections.abc import Sequence

from rolehost.api.contributions import Middleware
from rolehost.composition.model import Owned
from rolehost.composition.report import Report


def layered(
    middleware: Sequence[Owned[Middleware]], report: Report
) -> tuple[Owned[Middleware], ...]:
    """Return middleware so that each stands before those it names; ties keep their order.

    A name in ``before`` that no enabled plugin has says nothing here. A circle goes to the
    report.
    """
    waiting = list(middleware)
    result: list[Owned[Middleware]] = []
    while waiting:
        free = next((item for item in waiting if not _outer(item, waiting)), None)
        if free is None:
            _circle(waiting, report)
            return tuple(middleware)
        waiting.remove(free)
        result.append(free)
    return tuple(result)


def _outer(item: Owned[Middleware], waiting: Sequence[Owned[Middleware]]) -> bool:
    """Say whether something that is not placed yet must stand before this one."""
    return any(item.value.name in other.value.before for other in waiting)


def _circle(waiting: Sequence[Owned[Middleware]], report: Report) -> None:
    report.add(
        "middleware-cycle",
        "; ".join(item.site for item in waiting),
        "middleware must run inside each other in a circle",
        who=report.whose(item.plugin for item in waiting),
        expected="an order in which each runs outside of those it names in before",
        got=", ".join(
            f"{item.value.name} before {', '.join(item.value.before) or 'nothing'}"
            for item in waiting
        ),
        fix="take a name out of before of one of them",
    )
