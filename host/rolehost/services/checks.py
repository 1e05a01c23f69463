"""The host's own health checks, asked beside those of the plugins."""

from __future__ import annotations

import time

from rolehost.api.contributions import Check
from rolehost.api.services import Services
from rolehost.observe.board import Board, Hang
from rolehost.schema import Schema


class Unhealthy(Exception):
    """What a check of the host found."""


def own_checks(board: Board, hang: float, schema: Schema | None) -> tuple[Check, ...]:
    """Return the checks of one process.

    Args:
        board: what the supervisor tells.
        hang: ``[supervisor] hang``, seconds.
        schema: that of the service database; None: there is none.
    """

    def processes(_services: Services) -> None:
        _raise(board.read().hangs)

    def progress(_services: Services) -> None:
        # The supervisor replaces what hangs. This asks for more when that has not helped.
        now = time.monotonic()
        _raise(tuple(each for each in board.read().hangs if now - each.since >= hang))

    checks = (
        Check(name="processes", fn=processes),
        Check(name="progress", fn=progress, ready=False, live=True),
    )
    if schema is None:
        return checks

    def matches(_services: Services) -> str | None:
        drift = schema.drift()
        if drift.fault:
            raise Unhealthy(drift.fault)
        return drift.notice or None

    return (*checks, Check(name="schema", fn=matches))


def _raise(hangs: tuple[Hang, ...]) -> None:
    if hangs:
        raise Unhealthy("; ".join(map(str, hangs)))
