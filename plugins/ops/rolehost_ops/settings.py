"""The section ``[ops]``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from rolehost.api import Settings

Seconds = Annotated[float, Meta(gt=0)]


class OpsSettings(Settings, frozen=True):
    """``[ops]``; every value has a default.

    Attributes:
        prefix: prefix of the three paths, for example ``/internal``; empty, or begins with a
            slash.
        metrics_dir: directory of the shared metric files; each deployment needs another one. The
            default, None, is ``metrics`` in the runtime directory of the deployment.
        ping_timeout: seconds after which the ping of a backend counts as failed.
        statistics_timeout: seconds that ``/metrics`` waits for statistics from the database;
            after that it serves the other metrics only.
        open_metrics: serve ``/metrics`` without authentication. The two probes never need
            authentication, because probes send no token.
        details: show error messages in answers, not only error types. Error messages may contain
            names of hosts and users, so do not set it if the probes are publicly reachable.
    """

    prefix: Annotated[str, Meta(pattern=r"^(/[^/{}]+)*$")] = ""
    metrics_dir: str | None = None
    ping_timeout: Seconds = 2.0
    statistics_timeout: Seconds = 2.0
    open_metrics: bool = False
    details: bool = False
