"""Handle events with FastStream and either client."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
from faststream import AckPolicy, FastStream

from benchmarks.programs.events_plugin import Order
from benchmarks.tally import Tally


def broker_of(client: str, servers: str) -> Any:
    """Return a broker that does not log each message."""
    if client == "confluent":
        from faststream.confluent import KafkaBroker as Broker
    else:
        from faststream.kafka import KafkaBroker as Broker
    return Broker(servers, logger=None)


async def drain(client: str, servers: str, topic: str, group: str, tally: Tally) -> None:
    """Handle events until the process is stopped."""
    broker = broker_of(client, servers)
    decode = msgspec.json.Decoder(Order).decode

    async def parsed(message: Any) -> Order:
        return decode(message.body)

    @broker.subscriber(  # type: ignore[untyped-decorator]
        topic,
        group_id=group,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.ACK_FIRST,
        decoder=parsed,
    )
    async def handle(_order: Any) -> None:
        tally.count_many(1)

    tally.await_begin()
    await FastStream(broker, logger=None).run()


if __name__ == "__main__":
    asyncio.run(drain(*sys.argv[1:5], Tally(Path(sys.argv[5]))))
