"""Reload without processes: the command's choice of a supervisor, and the steps."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rolehost.cli.reload import _choose
from rolehost.errors import RolehostError
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


SUPERVISORS: Any = [
    SimpleNamespace(pid=1, name="rolehost", path=""),
    SimpleNamespace(pid=2, name="rolehost", path=""),
    SimpleNamespace(pid=3, name="shop", path="/deploy/shop.toml"),
]


def test_a_supervisor_is_chosen_by_its_file_or_by_its_process_id() -> None:
    assert _choose(SUPERVISORS, None, Path("/deploy/../deploy/shop.toml")).pid == 3
    assert _choose(SUPERVISORS, 2, None).pid == 2


def test_the_choice_must_be_clear() -> None:
    many = r"more than one supervisor runs without a deployment file; .*: 1 \(rolehost\), 2 \("
    with pytest.raises(RolehostError, match=many):
        _choose(SUPERVISORS, None, None)
    none = r"no supervisor runs /deploy/other.toml; running: 1 .*, 3 \(/deploy/shop.toml\)"
    with pytest.raises(RolehostError, match=none):
        _choose(SUPERVISORS, None, Path("/deploy/other.toml"))


def test_a_reload_that_is_abandoned_closes_only_the_files_of_the_new_plan(
    begun: Reload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Check, "allowed", 1)
    check = begun.resume(None)
    assert isinstance(check, Check)
    check.sources = os.open(os.devnull, os.O_RDONLY)
    begun.resume({"status": 0, "plan": PLAN.to_json()})
    begun.abandon()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(check.sources)
    assert begun.plan is PLAN
