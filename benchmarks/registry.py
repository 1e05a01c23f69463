"""The list of all benchmarks."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import (
    async_jobs,
    cache,
    earlier,
    ephemeral,
    ephemeral_redis,
    events,
    http,
    jobs,
    jobs_postgres,
    kit,
    ledger,
    limits,
    memory,
    pickup,
    river,
    startup,
    webhooks,
)
from benchmarks.model import Bench, Figure

#: Name → (the question it answers, the function to run), in the order of the runs.
BENCHMARKS: dict[str, tuple[str, Callable[[Bench], list[Figure]]]] = {
    "http-plain": ("What does a route cost in the host, beside bare Falcon?", http.plain),
    "http-usual": ("And with ids, metrics, limits and a log on both sides?", http.usual),
    "http-plugins": ("Does a request cost more with a hundred plugins?", http.plugins),
    "ephemeral": ("What does an ephemeral actor cost, beside bare Dramatiq?", ephemeral.run),
    "ephemeral-redis": (
        "And on Redis, beside Dramatiq with its own broker?",
        ephemeral_redis.run,
    ),
    "jobs": ("How many durable jobs a second, beside a bare sqlite3 loop?", jobs.run),
    "jobs-postgres": (
        "How many durable jobs a second on PostgreSQL, beside Dramatiq and others?",
        jobs_postgres.run,
    ),
    "ledger": (
        "And beside bare loops of the statements of commit 991056b?",
        ledger.run,
    ),
    "limits": (
        "What does a concurrency limit for each partition cost, beside a bare loop without any?",
        limits.run,
    ),
    "groups": ("How many jobs a second in groups, with one row each?", limits.groups),
    "river": ("And beside River, the job queue for Go?", river.run),
    "async": (
        "How long do 1,000 jobs that wait 1 s take in one process, beside Celery, arq and taskiq?",
        async_jobs.run,
    ),
    "earlier": ("Is the host slower than it was before limits and groups?", earlier.run),
    "events": (
        "How many events a second from Kafka, beside bare clients and FastStream?",
        events.run,
    ),
    "webhooks": (
        "How many webhooks a second, at what latency and processor time of all processes?",
        webhooks.run,
    ),
    "cache": (
        "What does the cache cost, beside redis-py and pymemcache on the same server?",
        cache.run,
    ),
    "pickup": ("How long does a job wait for an idle worker?", pickup.run),
    "pickup-engines": (
        "And on PostgreSQL and Redis, beside Dramatiq with its own broker?",
        pickup.on_engines,
    ),
    "startup": ("How long until everything is ready?", startup.run),
    "commands": ("How long does a command take, as a whole process?", startup.commands),
    "memory": ("How much memory does each process hold?", memory.run),
    "kit": ("What does a test pay for a host of its own?", kit.run),
}

_ENGINES = (
    "ephemeral-redis",
    "jobs-postgres",
    "ledger",
    "limits",
    "groups",
    "river",
    "async",
    "earlier",
    "events",
    "webhooks",
    "cache",
    "pickup-engines",
)

#: Group → its benchmarks: those without a server, and those on engines.
GROUPS: dict[str, tuple[str, ...]] = {
    "embedded": tuple(name for name in BENCHMARKS if name not in _ENGINES),
    "engines": _ENGINES,
}
