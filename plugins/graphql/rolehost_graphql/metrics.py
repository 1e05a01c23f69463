"""Metrics. Clients control no label, not even the operation name."""

from __future__ import annotations

from rolehost.api import Metric, Services

#: Label for an operation whose type is unknown because the document could not be parsed.
UNKNOWN = "unknown"

OPERATIONS = Metric(
    name="graphql_operations",
    kind="counter",
    summary="Operations answered.",
    labels=("operation", "outcome"),
)

DURATION = Metric(
    name="graphql_operation_duration_seconds",
    kind="histogram",
    summary="Time from reading an executed operation to its answer.",
    labels=("operation",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

REFUSALS = Metric(
    name="graphql_refusals",
    kind="counter",
    summary="Operations that were not executed, by error code.",
    labels=("code",),
)

#: All metrics.
METRICS = (OPERATIONS, DURATION, REFUSALS)


def count_executed(services: Services, operation: str, seconds: float, *, failed: bool) -> None:
    """Count an operation that was executed.

    Args:
        services: services of the process.
        operation: ``query`` or ``mutation``.
        seconds: duration.
        failed: whether the answer has errors.
    """
    services.measure(OPERATIONS, 1.0, operation, "failed" if failed else "completed")
    services.measure(DURATION, seconds, operation)


def count_refused(services: Services, operation: str, code: str) -> None:
    """Count an operation that was not executed.

    Args:
        services: services of the process.
        operation: ``query``, ``mutation``, ``subscription``, or :data:`UNKNOWN`.
        code: an error code from :mod:`rolehost_graphql.errors`.
    """
    services.measure(OPERATIONS, 1.0, operation, "refused")
    services.measure(REFUSALS, 1.0, code)
