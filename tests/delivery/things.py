"""A table of things, and jobs that write to it."""

from __future__ import annotations

import peewee
from rolehost.api import (
    actor,
)


@actor()
def plain(context, n: int = 0):
    pass


class Thing(peewee.Model):
    id = peewee.TextField(primary_key=True)

    class Meta:
        table_name = "things"


def write_free(bench):
    """Another writer is not kept out."""
    with bench.database.session(), bench.database.transaction() as tx:
        tx.execute("DELETE FROM things WHERE id = 'probe'")
    return True


def run_job(bench, body, **options):
    """Run one job with this body; return its state and error."""

    @actor(name="body", **options)
    def job(context):
        return body(context)

    bench.make_runtime(job, plain)
    with bench.unit_of_work() as work:
        number = work.enqueue(job).id
    bench.run(next(each for each in bench.claim() if each.id == number))
    row = bench.job(number)
    return row["state"], row["error"] or ""


def failing(owner, name="inner"):
    with owner.unit_of_work():
        Thing.create(id=name)
        raise ValueError("a secret text")
