"""The plugin that the benchmarks' deployments enable: a route, and actors to time."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

from rolehost.api import (
    Actor,
    JobContext,
    PluginInfo,
    Route,
    Services,
    actor,
    hookimpl,
)


class Countdown:
    """Calls back when a given number of jobs has run; threads count without a lock.

    Each job has a unique number, and adding to a set is thread-safe.
    """

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.total = 0
        self.finished: Callable[[], None] = bool

    def count(self, number: int) -> None:
        self.seen.add(number)
        if len(self.seen) == self.total:
            self.finished()


countdown = Countdown()


@actor(queue="bench", durable=False)
def passing(_services: Services, number: int) -> None:
    """Do nothing, ephemerally."""
    countdown.count(number)


@actor(queue="bench")
def nothing(_job: JobContext, number: int) -> None:
    """Do nothing, durably."""
    countdown.count(number)


@actor(queue="bench")
def effect(job: JobContext, number: int) -> None:
    """Write one row in the transaction of the completion."""
    write_row(job, number)


def write_row(job: JobContext, number: int) -> None:
    """Write one row and count."""
    with job.services.unit_of_work() as work:
        database = work.database.peewee
        database.execute_sql(f"INSERT INTO effects (number) VALUES ({database.param})", (number,))
    countdown.count(number)


@actor(queue="bench")
def answer(_job: JobContext, sent: int, path: str) -> None:
    """Report the start latency of this job."""
    tell(sent, path)


@actor(queue="bench", durable=False)
def passing_answer(_services: Services, sent: int, path: str) -> None:
    """Report the start latency of this message."""
    tell(sent, path)


def tell(sent: int, path: str) -> None:
    """Send the nanoseconds since ``sent`` to a socket."""
    waited = time.monotonic_ns() - sent
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
        caller.sendto(str(waited).encode(), path)


class Routes:
    """A plugin with only the sample route; needs no storage."""

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(api=1)

    @hookimpl
    def rolehost_routes(self) -> Sequence[Route]:
        from benchmarks import sample

        return [Route(sample.PATH, sample.Orders())]


class Durable:
    """A plugin with the durable actors."""

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(
            api=1, requires=("database", "queue"), enqueues=("nothing", "effect", "answer")
        )

    @hookimpl
    def rolehost_actors(self) -> Sequence[Actor]:
        return [nothing, effect, answer]


class Actors(Durable):
    """A plugin with all actors."""

    @hookimpl
    def rolehost_actors(self) -> Sequence[Actor]:
        return [passing, passing_answer, *super().rolehost_actors()]


routes = Routes()
durable = Durable()
actors = Actors()
