"""The plugin of ``noisy-neighbours``: handlers of many topics, and of one topic with many keys.

An event says whether it is bad now. The handlers of half of the topics are synchronous: their bad
events fail. The others are asynchronous: their bad events hang until the time limit.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import msgspec
from rolehost.api import (
    Complete,
    Event,
    EventContext,
    Handler,
    PluginInfo,
    RetryPolicy,
    handler,
    hookimpl,
)
from rolehost.api.handlers import EVENT_RETRY

#: Number of topics, and the topic whose keys are the neighbours.
TOPICS, KEYS = 100, "noisy-keys"
#: Seconds after which an asynchronous handler is interrupted.
LIMIT = 2.0
#: The default delays; but no event is given up.
_RETRY = RetryPolicy(attempts=1000, delays=EVENT_RETRY.delays)


class Sent(msgspec.Struct):
    """The payload: a number, whether it is bad, and the socket that gets the number."""

    n: int
    bad: bool
    path: str


def _tell(sent: Sent) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as answer:
        answer.connect(sent.path)
        answer.send(b"%d" % sent.n)


def _fails(_context: EventContext, event: Event[Sent]) -> None:
    if event.data.bad:
        raise RuntimeError("this neighbour's events fail")
    _tell(event.data)


async def _hangs(_context: EventContext, event: Event[Sent]) -> Complete:
    if event.data.bad:
        await asyncio.sleep(3600)
    return Complete(_tell, event.data)


def _handlers() -> list[Handler]:
    made = []
    for number in range(TOPICS):
        names = {"topic": f"noisy-{number}", "group": "noisy", "name": f"noisy{number}"}
        if number % 2:
            made.append(handler(**names, payload=Sent, retry=_RETRY)(_fails))
        else:
            made.append(handler(**names, payload=Sent, retry=_RETRY, time_limit=LIMIT)(_hangs))
    keys = handler(topic=KEYS, group=KEYS, payload=Sent, retry=_RETRY, name="keys")(_fails)
    return [*made, keys]


HANDLERS = _handlers()


@hookimpl
def rolehost_plugin() -> PluginInfo:
    """Describe the plugin."""
    topics = tuple(each.topic for each in HANDLERS)
    return PluginInfo(api=2, requires=("database", "stream"), publishes=topics)


@hookimpl
def rolehost_handlers() -> Sequence[Handler]:
    """Return the handlers."""
    return HANDLERS
