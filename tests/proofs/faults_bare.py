"""A bare Dramatiq worker on its own Redis broker, for comparison in the proof's checks.

``python -m tests.proofs.faults_bare URL NAMESPACE THREADS HEARTBEAT_MS``; 0 uses Dramatiq's
defaults. If a heartbeat is given, every command runs Dramatiq's maintenance, so that the result
does not depend on its random interval.
"""

from __future__ import annotations

import sys
import threading

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from tests.proofs.faults_plugin import work


def declare(url: str, namespace: str, heartbeat: int = 0) -> dramatiq.Actor[..., None]:
    """Return an actor that records its runs, on a separate broker."""
    reported = (
        {"heartbeat_timeout": heartbeat, "maintenance_chance": 1_000_000} if heartbeat else {}
    )
    broker = RedisBroker(url=url, namespace=namespace, **reported)
    return dramatiq.actor(work, broker=broker, actor_name="work", queue_name="faults")


def main(url: str, namespace: str, threads: int, heartbeat: int) -> None:
    """Run messages until the process is stopped."""
    broker = declare(url, namespace, heartbeat).broker
    broker.emit_after("process_boot")
    dramatiq.Worker(broker, worker_threads=threads).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
