"""The steps of a reload, without processes."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest
from rolehost.supervisor import reload
from rolehost.supervisor.child import Slot
from rolehost.supervisor.plan import ProcessPlan, RolePlan
from rolehost.supervisor.reload import Reload, Replacement, replacements
from rolehost.supervisor.report import StatusReport

WORKER = RolePlan("worker", 1)
PLAN = ProcessPlan(name="test", roles=(WORKER,))


class Check:
    """Stands for the process that checks; the first ``allowed`` ones can be started."""

    allowed = 1

    def __init__(self, plan: ProcessPlan, now: float, older: list[str] | None = None) -> None:
        if Check.allowed == 0:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        Check.allowed -= 1
        self.sources = -1


@pytest.fixture
def progress() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch, progress: list[dict[str, Any]]) -> Reload:
    monkeypatch.setattr(reload, "CheckProcess", Check)
    report = StatusReport("test", "error", "json")
    return Reload(PLAN, [Slot(WORKER, 0, PLAN)], progress.append, report)


def test_a_reload_is_refused_if_no_process_can_be_started_to_check(
    begun: Reload, progress: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Check, "allowed", 0)
    assert begun.resume(None) is None
    result = progress[-1]["result"]
    assert (result["outcome"], result["status"]) == ("refused", 4)
    assert "no process can be started to check" in result["message"]


def test_the_result_has_the_reason_why_post_migrations_were_not_applied(
    begun: Reload, progress: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Check, "allowed", 1)
    assert isinstance(begun.resume(None), Check)
    step = begun.resume({"status": 0, "plan": PLAN.to_json(), "post_pending": True, "running": []})
    assert isinstance(step, Replacement)
    assert begun.resume("") is None
    result = progress[-1]["result"]
    assert (result["outcome"], result["status"]) == ("reloaded", 0)
    assert "post were not applied: Resource temporarily unavailable" in result["message"]


def test_workers_are_replaced_before_http_and_processes_without_a_successor_go_last() -> None:
    http, workers = RolePlan("http", 1), RolePlan("worker", 2)
    slots = [Slot(http, 0, PLAN), Slot(workers, 0, PLAN), Slot(workers, 1, PLAN)]
    found = replacements(slots, PLAN._replace(roles=(http, WORKER)))
    names = [(old and old.name, new and new.name) for old, new, _ in found]
    assert names == [("worker.0", "worker.0"), ("http.0", "http.0"), ("worker.1", None)]
