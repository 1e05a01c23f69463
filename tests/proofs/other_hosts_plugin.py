"""The plugin of ``other-hosts``: jobs that write one row each, with and without limits."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Sequence

from rolehost.api import Actor, JobContext, Limits, PluginInfo, actor, hookimpl

#: Environment variable with the name of a host.
HOST = "PROOF_HOST"


def _work(job: JobContext, kind: str, label: str, seconds: float) -> None:
    """Take some time, then write which job ran where."""
    select.select([], [], [], seconds)  # time.sleep() fails under libfaketime
    with job.services.unit_of_work() as work:
        work.database.peewee.execute_sql(
            "INSERT INTO proof_effects (label, job, kind, host, thread)"
            " VALUES (%s, %s, %s, %s, %s)",
            (label, job.id, kind, os.environ.get(HOST, ""), threading.get_ident()),
        )


@actor(name="plain", queue="proof")
def plain(job: JobContext, label: str, seconds: float) -> None:
    """Run without a limit."""
    _work(job, "plain", label, seconds)


@actor(name="keyed", queue="proof")
def keyed(job: JobContext, label: str, seconds: float) -> None:
    """Run in the order of its key."""
    _work(job, "keyed", label, seconds)


@actor(name="shared", queue="proof", limits=Limits(concurrency=100), partition="tenant",
       partition_limits=Limits(concurrency=2))  # fmt: skip
def shared(job: JobContext, label: str, seconds: float, tenant: str) -> None:
    """Run with a limit of the actor, and one of each tenant."""
    _work(job, "shared", label, seconds)


ACTORS: Sequence[Actor] = (plain, keyed, shared)


@hookimpl
def rolehost_plugin() -> PluginInfo:
    return PluginInfo(api=1, requires=("database",), enqueues=tuple(each.name for each in ACTORS))


@hookimpl
def rolehost_actors() -> Sequence[Actor]:
    return ACTORS
