"""Kafka as the stream: killed processes, a broker outage, and the known faults of its client."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from rolehost_testing.services import Missing, start

from tests.proofs.kafka_flow import flow
from tests.proofs.kafka_ground import PARAMETERS
from tests.proofs.kafka_known import CLIENTS, known
from tests.proofs.kit import Figures, Options, Unavailable

PROMISE = (
    "On Kafka, with either client, in threads and in coroutines, while consumers are killed and"
    " the broker stops and comes back, each event has its effect once and in the order of its"
    " key; and the stream"
    " has none of the known faults of kafka-python: a raising deserialiser, commits of records"
    " that were not processed, blocking in a rebalance, clients made before a fork, a stuck"
    " handler"
)
DURATION = "about 2 minutes"


def prove(options: Options) -> Figures:
    """Run everything on a dedicated Kafka."""
    figures: dict[str, object] = {}
    with ExitStack() as stack:
        try:
            disturbed, quiet = (
                stack.enter_context(start("kafka", parameters=PARAMETERS)) for _ in range(2)
            )
        except Missing as missing:
            raise Unavailable(str(missing)) from None
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="rolehost-kafka-")))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        servers = quiet.url.removeprefix("kafka://")
        faults = pool.submit(known, servers, folder, options)
        for client in CLIENTS:
            task = options.progress(1, f"flow, {client}")
            found = flow(client, disturbed, folder / f"flow-{client}", options)
            figures |= {f"{client}_{name}": value for name, value in found.items()}
            task.advance()
        return figures | dict(faults.result())
