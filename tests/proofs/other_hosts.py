"""Other hosts, their network, and a standby that takes over, harm no job."""

from __future__ import annotations

import sys
from typing import Any

import structlog
from rolehost_testing.services import Missing

from tests.proofs import other_hosts_failover, other_hosts_namespaces, other_hosts_network
from tests.proofs.kit import Figures, Options, Unavailable

PROMISE = (
    "Two hosts and two clients on PostgreSQL, behind a proxy that cuts answers after COMMIT, falls"
    " silent, passes nothing, or loses a host in a transaction; a crashed and a frozen server; a"
    " synchronous and an asynchronous failover; and four hosts with networks and wrong clocks of"
    " their own (needs root, otherwise skipped): no acknowledged job of the history that counts is"
    " lost, none runs twice or is completed without running, and every thread of every worker runs"
    " jobs within 15 s after the server can be reached again"
)
DURATION = "about 5 min; --short: 1 min"

#: Parts by name, with their steps; and those of a short proof, which has two faults of the network.
PARTS = {
    "network": (other_hosts_network.measure, len(other_hosts_network.FULL) + 1),
    "synchronous": (other_hosts_failover.synchronous, 2),
    "asynchronous": (other_hosts_failover.asynchronous, 2),
    "namespaces": (other_hosts_namespaces.measure, other_hosts_namespaces.STEPS),
}
SHORT = ("asynchronous",)


def prove(options: Options) -> Figures:
    """Run each part; return its figures with its name before them."""
    # The clients' log lines would be part of the output.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    figures: dict[str, Any] = {}
    for name, (part, steps) in PARTS.items():
        if options.short and name not in SHORT:
            continue
        try:
            found = part(options, options.progress(steps, name))
        except Missing as missing:
            raise Unavailable(str(missing)) from None
        figures |= {f"{name}_{key}": value for key, value in found.items()}
    return figures
