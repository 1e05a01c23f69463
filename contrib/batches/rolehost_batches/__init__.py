"""Batches and chains of jobs, and the results and progress of jobs.

A *batch* is one or more steps of jobs. The jobs of a step run at the same time (*fan-out*); the
next step starts when all of them are completed (*fan-in*). A chain is a batch whose steps have one
job each. See the README of this distribution.
"""

from rolehost_batches.batches import (
    BatchOver,
    BatchStatus,
    add_to_batch,
    batch_of,
    cancel_batch,
    enqueue_batch,
    find_batch,
)
from rolehost_batches.calls import Call, call
from rolehost_batches.progress import Progress, progress_of, report_progress
from rolehost_batches.results import (
    JobFailed,
    NoResult,
    keep_result,
    result_of,
    results_of,
    wait_for_result,
)

__all__ = [
    "BatchOver",
    "BatchStatus",
    "Call",
    "JobFailed",
    "NoResult",
    "Progress",
    "add_to_batch",
    "batch_of",
    "call",
    "cancel_batch",
    "enqueue_batch",
    "find_batch",
    "keep_result",
    "progress_of",
    "report_progress",
    "result_of",
    "results_of",
    "wait_for_result",
]
