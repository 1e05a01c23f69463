"""Results and progress of jobs."""

from __future__ import annotations

import threading

import msgspec
import pytest
from rolehost.api import PayloadError
from rolehost_batches import (
    JobFailed,
    NoResult,
    call,
    enqueue_batch,
    find_batch,
    keep_result,
    progress_of,
    report_progress,
    result_of,
    wait_for_result,
)
from rolehost_batches.progress import Reports


class Count(msgspec.Struct):
    n: int


def test_a_result_has_the_type_that_is_asked_for(here, shop):
    job = here.services.enqueue(shop.later, n=4)
    here.drain()
    assert result_of(here.services, job.id) == {"n": 4}
    assert result_of(here.services, job.id, Count) == Count(4)
    assert wait_for_result(here.services, job.id, timeout=0) == {"n": 4}


def test_a_result_expires(here, shop):
    job = here.services.enqueue(shop.work, n=4)
    here.drain()
    here.clock.advance(86_400)
    with pytest.raises(NoResult, match=f"job {job.id} has no result"):
        result_of(here.services, job.id)
    here.drain()  # the sweep
    assert wait_for_result(here.services, job.id, timeout=0) is None


def test_a_failed_job_has_no_result_but_an_error(here, shop):
    job = here.services.enqueue(shop.work, n=-4)
    here.drain(raises=False)
    with pytest.raises(JobFailed, match="is dead: ValueError: cannot do -4"):
        wait_for_result(here.services, job.id, timeout=0)
    with pytest.raises(NoResult):
        wait_for_result(here.services, 999_999, timeout=0)


def test_waiting_ends_with_the_job_or_after_the_time(here, shop):
    job = here.services.enqueue(shop.work, n=3)
    with pytest.raises(TimeoutError, match="is available after 0"):
        wait_for_result(here.services, job.id, timeout=0.01)
    found = []
    waiting = threading.Thread(
        target=lambda: found.append(wait_for_result(here.services, job.id, timeout=30))
    )
    waiting.start()
    here.drain()
    waiting.join(30)
    assert found == [9]


def test_a_result_that_cannot_be_stored_fails_the_attempt(here, shop):
    class Job:
        id, services = 1, here.services

    with pytest.raises(PayloadError, match="cannot be encoded"):
        keep_result(Job, object())
    with pytest.raises(PayloadError, match="bytes; at most 1048576 are kept"):
        keep_result(Job, "x" * 2_000_000)


def test_progress_is_the_last_report(here, shop, ran):
    job = here.services.enqueue(shop.slow)
    here.drain()
    (worker,) = ran
    assert worker.get(Reports).flush(30)
    progress = progress_of(here.services, job.id)
    assert (progress.value, progress.text) == (1.0, "4 of 4")
    assert progress_of(here.services, 999_999) is None


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_progress_is_a_share(value):
    with pytest.raises(ValueError, match="a share from 0 to 1"):
        report_progress(None, value)


def test_the_ids_of_all_steps_are_known_at_once(here, shop):
    batch = enqueue_batch(here.services, call(shop.work, n=2), call(shop.work, n=3))
    jobs = find_batch(here.services, batch).jobs
    here.drain()
    assert [result_of(here.services, job) for (job,) in jobs] == [4, 9]
