"""What is counted. No label is anything that a client chose: not even an operation's name."""

from __future__ import annotations

from rolehost.api import Metric, Services

#: What an operation is called of which nobody knows what it is: it could not be read.
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
    summary="Time from an operation's reading to its answer, of those that were executed.",
    labels=("operation",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

REFUSALS = Metric(
    name="graphql_refusals",
    kind="counter",
    summary="Operations that were not executed, by the code that the client was told.",
    labels=("code",),
)

#: All of them.
METRICS = (OPERATIONS, DURATION, REFUSALS)


def count_executed(services: Services, operation: str, seconds: float, *, failed: bool) -> None:
    """Count an operation that was executed.

    Args:
        services: of the process.
        operation: ``query`` or ``mutation``.
        seconds: what it took.
        failed: whether its answer has errors.
    """
    services.measure(OPERATIONS, 1.0, operation, "failed" if failed else "completed")
    services.measure(DURATION, seconds, operation)


def count_refused(services: Services, operation: str, code: str) -> None:
    """Count an operation that was not executed.

    Args:
        services: of the process.
        operation: ``query``, ``mutation``, ``subscription``, or :data:`UNKNOWN`.
        code: one of :mod:`rolehost_graphql.errors`.
    """
    services.measure(OPERATIONS, 1.0, operation, "refused")
    services.measure(REFUSALS, 1.0, code)
