"""A worker of Dramatiq alone on its own Redis broker: what the proof's checks stand beside.

``python -m tests.proofs.faults_bare URL NAMESPACE THREADS HEARTBEAT_MS``; 0 takes Dramatiq's
defaults. With a heartbeat given, maintenance runs with every command: its chance is not the fault.
"""

from __future__ import annotations

import sys
import threading

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from tests.proofs.faults_plugin import work


def declare(url: str, namespace: str, heartbeat: int = 0) -> dramatiq.Actor[..., None]:
    """Return an actor that notes its runs, on a broker of its own."""
    told = {"heartbeat_timeout": heartbeat, "maintenance_chance": 1_000_000} if heartbeat else {}
    broker = RedisBroker(url=url, namespace=namespace, **told)
    return dramatiq.actor(work, broker=broker, actor_name="work", queue_name="faults")


def main(url: str, namespace: str, threads: int, heartbeat: int) -> None:
    """Run messages until the process is ended."""
    broker = declare(url, namespace, heartbeat).broker
    broker.emit_after("process_boot")
    dramatiq.Worker(broker, worker_threads=threads).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
