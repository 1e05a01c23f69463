"""The host's own health checks."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from rolehost.observe.board import Board, Hang, SupervisorState
from rolehost.schema import Drift
from rolehost.services.checks import Unhealthy, host_checks
from rolehost.supervisor.descriptors import anonymous_file


class Schema:
    def __init__(self, **fields: Any) -> None:
        self.found = Drift(**fields)

    def drift(self) -> Drift:
        return self.found


def test_a_hang_makes_unready_at_once_and_asks_for_a_restart_when_it_lasts() -> None:
    number = anonymous_file()
    board = Board(number)
    processes, progress = host_checks(board, 60.0, None)
    assert (processes.ready, processes.live) == (True, False)
    assert (progress.ready, progress.live) == (False, True)
    assert processes.fn(None) is None
    now = time.monotonic()
    board.write(SupervisorState((Hang("worker.0", 7, "the main loop", now, 60.0),)))
    with pytest.raises(Unhealthy, match=r"worker.0 \(pid 7\) hangs"):
        processes.fn(None)
    assert progress.fn(None) is None
    board.write(SupervisorState((Hang("worker.0", 7, "the main loop", now - 60.0, 60.0),)))
    with pytest.raises(Unhealthy):
        progress.fn(None)
    os.close(number)


def test_a_wrong_schema_makes_unready_and_a_newer_one_is_reported() -> None:
    def asked(**fields: Any) -> Any:
        schema: Any = Schema(**fields)
        return host_checks(Board(), 60.0, schema)[-1].fn(None)

    assert asked() is None
    assert "newer" in str(asked(newer=("shop/0002_more",)))
    for fault in ("missing", "changed", "too_new"):
        with pytest.raises(Unhealthy, match="shop/0001"):
            asked(**{fault: ("shop/0001_table",)})
