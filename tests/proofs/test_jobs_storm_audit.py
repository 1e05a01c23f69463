"""What the audit of ``jobs-storm`` finds in a ledger that is not as it should be."""

from __future__ import annotations

import shutil

import pytest

from benchmarks.deployments import Place, migrate, place
from tests.proofs.jobs_storm_audit import UNFINISHED, audit, create
from tests.proofs.ledgers import Ledger

_JOB = (
    "INSERT INTO rolehost_jobs (id, queue, actor, state, priority, run_at, arguments, enqueued_at,"
    " attempt, key) VALUES ({}, 'storm', 'storm.{}', 'completed', 0, 0, '', 0, {}, {})"
)
_ATTEMPT = (
    "INSERT INTO rolehost_attempts (job, attempt, outcome, started_at, ended_at, process)"
    " VALUES (2, {}, '{}', 0, 0, 'me')"
)
_ACTORS = {1: "plain", 2: "tracked", 3: "keeps", 4: "keyed", 5: "keyed", 6: "callback"}
_ALL_RIGHT = (
    *(
        _JOB.format(job, actor, 2 if job == 2 else 1, "'k'" if actor == "keyed" else "NULL")
        for job, actor in _ACTORS.items()
    ),
    *(
        f"INSERT INTO storm_effects (job, kind, text) VALUES ({job}, '{kind}', '')"
        for job, kind in [*((number, "done") for number in range(1, 6)), (6, "end")]
    ),
    _ATTEMPT.format(1, "retrying"),
    _ATTEMPT.format(2, "completed"),
    "INSERT INTO batches_result VALUES (3, '3', 0)",
    "INSERT INTO batches_batch VALUES (1, '', 'completed', 0, 1, 0, 0)",
    "INSERT INTO batches_member VALUES (1, 1, 0, 'step', 'completed')",
    "INSERT INTO batches_member VALUES (6, 1, 1, 'end', 'completed')",
    _JOB.format(7, "callback", 1, "NULL"),
    "INSERT INTO storm_effects (job, kind, text) VALUES (7, 'success', '')",
    "INSERT INTO batches_member VALUES (7, 1, 1, 'success', 'completed')",
    "INSERT INTO storm_sent VALUES (1, 7)",
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("storm") / "deployed"
    made = place(folder, {}, ["embedded", "batches"], embedded={"path": str(folder / "a.db")})
    migrate(made)
    return made


@pytest.fixture
def ledger(empty, tmp_path) -> Ledger:
    path = tmp_path / "storm.db"
    shutil.copy(empty.folder / "a.db", path)
    made = Ledger("sqlite", str(path), empty)
    create(made)
    made.execute(*_ALL_RIGHT)
    return made


def wrong(ledger):
    return {
        name.removeprefix("wrong_")
        for name, count in audit(ledger).items()
        if count and name.startswith("wrong_")
    }


def test_nothing_is_found_in_a_ledger_that_is_right(ledger):
    assert ledger.execute(UNFINISHED) == [(0,)]
    assert wrong(ledger) == set()


@pytest.mark.parametrize(
    ("found", "tampering"),
    [
        ("lost_jobs", "DELETE FROM rolehost_jobs WHERE id = 5"),
        ("effects_of_completed", "DELETE FROM storm_effects WHERE job = 1"),
        ("effects_of_completed", "INSERT INTO storm_effects (job, kind) VALUES (1, 'done')"),
        ("effects_of_others", "UPDATE rolehost_jobs SET state = 'dead' WHERE id = 1"),
        ("kept_effects", "INSERT INTO storm_effects (job, kind) VALUES (1, 'kept'), (1, 'kept')"),
        ("history", "DELETE FROM rolehost_attempts WHERE outcome = 'retrying'"),
        ("whole_history", "DELETE FROM rolehost_attempts WHERE outcome = 'completed'"),
        ("results", "DELETE FROM batches_result"),
        ("start_times", "UPDATE storm_effects SET text = 'late' WHERE job = 1"),
        ("order_of_keys", "UPDATE storm_effects SET id = 100 WHERE job = 4"),
        ("batches", "UPDATE batches_batch SET state = 'failed'"),
        ("members", "UPDATE batches_member SET state = 'dead' WHERE job = 1"),
        ("callbacks", "DELETE FROM storm_effects WHERE kind = 'end'"),
        ("callbacks", "INSERT INTO storm_effects (job, kind) VALUES (7, 'success')"),
    ],
)
def test_what_is_wrong_is_found(ledger, found, tampering):
    ledger.execute(tampering)
    assert found in wrong(ledger)


def test_what_has_not_ended_is_found(ledger):
    ledger.execute(
        "UPDATE rolehost_jobs SET state = 'retrying' WHERE id = 1",
        "UPDATE batches_batch SET state = 'open'",
    )
    assert ledger.execute(UNFINISHED) == [(2,)]
