"""The section ``[ops]``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from rolehost.api import Settings

Seconds = Annotated[float, Meta(gt=0)]


class OpsSettings(Settings, frozen=True):
    """``[ops]``; every value has a default.

    Attributes:
        prefix: put before the three paths, ``/internal``; empty or beginning with a slash.
        metrics_dir: folder of the shared metric files, one for each deployment; None takes
            ``metrics`` in the runtime directory of the deployment.
        ping_timeout: seconds after which the ping of a backend counts as failed.
        statistics_timeout: seconds that ``/metrics`` waits for the figures that come from the
            database; without them it serves the rest.
        open_metrics: serve ``/metrics`` without authentication: to everybody who reaches it.
            The two probes always are, because what probes sends no token.
        details: show the texts of failures in answers, not only their types. Such a text may
            name hosts and users, so it is off where strangers reach the probes.
    """

    prefix: Annotated[str, Meta(pattern=r"^(/[^/{}]+)*$")] = ""
    metrics_dir: str | None = None
    ping_timeout: Seconds = 2.0
    statistics_timeout: Seconds = 2.0
    open_metrics: bool = False
    details: bool = False
