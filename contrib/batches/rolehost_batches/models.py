"""The tables of the plugin. Times are Unix milliseconds."""

from __future__ import annotations

import peewee


class Batch(peewee.Model):
    """A batch. ``step`` is the step that runs, from 0; ``steps`` is their number."""

    id = peewee.BigAutoField()
    description = peewee.TextField()
    state = peewee.TextField()
    step = peewee.IntegerField()
    steps = peewee.IntegerField()
    created_at = peewee.BigIntegerField()
    finished_at = peewee.BigIntegerField(null=True)

    class Meta:  # noqa: D106
        table_name = "batches_batch"


class Member(peewee.Model):
    """A job of a batch.

    ``role``: ``step``, or the condition of a callback: ``success``, ``failure`` or ``end``.
    ``state``: ``open``; or how the job ended, ``lost`` if its row is gone, ``skipped`` if the
    batch did not need it.
    """

    job = peewee.BigIntegerField(primary_key=True)
    batch = peewee.BigIntegerField()
    step = peewee.IntegerField()
    role = peewee.TextField()
    state = peewee.TextField()

    class Meta:  # noqa: D106
        table_name = "batches_member"


class Result(peewee.Model):
    """The result of a job, as JSON."""

    job = peewee.BigIntegerField(primary_key=True)
    value = peewee.BlobField()
    expires_at = peewee.BigIntegerField()

    class Meta:  # noqa: D106
        table_name = "batches_result"


class Report(peewee.Model):
    """The last progress that a job reported: a share from 0 to 1, and a text."""

    job = peewee.BigIntegerField(primary_key=True)
    value = peewee.DoubleField()
    text = peewee.TextField()
    updated_at = peewee.BigIntegerField()

    class Meta:  # noqa: D106
        table_name = "batches_progress"


MODELS = (Batch, Member, Result, Report)
