"""The host's own health checks; plugins add others."""

from __future__ import annotations

import time

from rolehost.api.contributions import Check
from rolehost.api.services import Services
from rolehost.observe.board import Board, Hang
from rolehost.schema import Schema


class Unhealthy(Exception):
    """A health check of the host failed; the message says why."""


def host_checks(board: Board, hang: float, schema: Schema | None) -> tuple[Check, ...]:
    """Return the checks of one process; ``hang`` in seconds, ``schema`` None without a database."""

    def processes(_services: Services) -> None:
        _raise(board.read().hangs)

    def progress(_services: Services) -> None:
        # The supervisor replaces a process that hangs. This check fails if that did not help.
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
        if drift.error:
            raise Unhealthy(drift.error)
        return drift.warning or None

    return (*checks, Check(name="schema", fn=matches))


def _raise(hangs: tuple[Hang, ...]) -> None:
    if hangs:
        raise Unhealthy("; ".join(map(str, hangs)))
