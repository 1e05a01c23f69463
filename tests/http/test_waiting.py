"""The http role while a backend is unavailable, and workers that die early."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from rolehost.roles.backoff import Backoff
from rolehost.roles.http.master import WorkerBackoff

from tests.http.serving import Served, serving

pytestmark = [pytest.mark.processes, pytest.mark.needs("falcon")]


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[tuple[Served, Path]]:
    """An http role with two processes, and the file that its backend waits for."""
    there = tmp_path / "there"
    with serving({"SERVED_WAITS": str(there)}, processes=2) as served:
        served.out.until("waiting")
        yield served, there


def test_it_is_alive_and_unready_until_the_backend_answers(
    waiting: tuple[Served, Path],
) -> None:
    served, there = waiting
    assert served.ask("GET", "/early")[0] == 200
    status, headers, body = served.ask("GET", "/hello")
    assert (status, headers["retry-after"]) == (503, "1")
    assert json.loads(body)["code"] == "unavailable"
    assert "started" not in served.out.seen
    there.touch()
    served.ready()
    assert served.ask("GET", "/hello")[0] == 200


def test_a_connection_of_the_wait_does_not_outlast_it(waiting: tuple[Served, Path]) -> None:
    served, _ = waiting
    for path in ("/early", "/hello"):
        assert served.ask("GET", path)[1]["connection"] == "close"


def test_a_stop_signal_ends_a_waiting_process_at_once(waiting: tuple[Served, Path]) -> None:
    served, _ = waiting
    served.term()
    assert served.status() == 0
    assert "stopped" not in served.out.all()


def test_a_backend_that_refuses_ends_it_with_the_status_of_a_wrong_configuration(
    waiting: tuple[Served, Path],
) -> None:
    served, there = waiting
    there.write_text("refused")
    assert served.status() == 3
    (line,) = (line for line in served.err.all() if "refused" in line)
    assert line == "rolehost http: fake: refused"


def test_one_of_several_processes_logs_the_wait(waiting: tuple[Served, Path]) -> None:
    served, there = waiting
    served.err.until("waiting for storage")
    there.touch()
    served.ready()
    served.process.send_signal(signal.SIGTERM)
    lines = [line for line in served.err.all() if "waiting for storage" in line]
    assert len(lines) == 1


def test_workers_that_die_young_are_replaced_after_a_growing_pause() -> None:
    backoff = WorkerBackoff(Backoff(first=1.0, longest=4.0, stable=10.0))
    opened = []
    now = 0.0
    for _ in range(4):
        backoff.count_death(0.5, now, served=False)
        wait = 0.0
        while not backoff.may_start(now + wait):
            wait += 0.5
        opened.append(wait)
        now += 100.0
    assert opened == [1.0, 2.0, 4.0, 4.0]


def test_the_pause_of_workers_that_served_ends_where_they_would_count_as_stable() -> None:
    backoff = WorkerBackoff(Backoff(first=1.0, longest=60.0, stable=10.0))
    for _ in range(10):
        backoff.count_death(0.5, 0.0, served=True)
    assert not backoff.may_start(9.9)
    assert backoff.may_start(10.0)


def test_a_worker_that_was_stable_is_replaced_at_once() -> None:
    backoff = WorkerBackoff(Backoff(first=1.0, longest=4.0, stable=10.0))
    backoff.count_death(0.5, 0.0, served=False)
    assert not backoff.may_start(0.5)
    backoff.count_death(60.0, 100.0, served=True)
    assert backoff.may_start(100.0)
