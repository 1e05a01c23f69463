"""The plugin of ``upgrade``; it runs with every version of the host, so it imports little."""

from __future__ import annotations

import os
import time
from pathlib import Path

from rolehost.api import PluginInfo, RetryPolicy, actor, hookimpl

#: ``old`` or ``new``, and the file that heals the jobs that die.
VERSION = os.environ.get("PROOF_VERSION", "")
HEALED = Path(os.environ.get("PROOF_HEALED", "healed"))


def _effect(job, number, name, began):
    """Write a row in the transaction that completes the job."""
    with job.services.unit_of_work() as work:
        database = work.database.peewee
        values = ", ".join([database.param] * 5)
        database.execute_sql(
            f"INSERT INTO proof_effects (number, name, version, began, ended) VALUES ({values})",
            (number, name, VERSION, began, time.time()),
        )


@actor(name="effect", queue="upgrade", retry=RetryPolicy(attempts=5, delays=(0.3,)))
def effect(job, number: int, name: str = "", seconds: float = 0.0, fails: int = 0) -> None:
    """Take some time, fail in the first attempts, then write the effect."""
    began = time.time()
    time.sleep(seconds)  # the duration of the job
    if job.attempt <= fails:
        raise RuntimeError("this attempt fails")
    _effect(job, number, name, began)


@actor(name="dying", queue="upgrade", retry=RetryPolicy(attempts=1))
def dying(job, number: int) -> None:
    """Fail, until the jobs are healed."""
    if not HEALED.exists():
        raise RuntimeError("not healed yet")
    _effect(job, number, "", time.time())


@hookimpl
def rolehost_plugin():
    """Describe the plugin."""
    return PluginInfo(api=1, requires=("database", "queue"), enqueues=("effect", "dying"))


@hookimpl
def rolehost_actors():
    """Return the actors."""
    return [effect, dying]
