"""Table ``webhooks_application``: owners of endpoints and messages."""

from __future__ import annotations

import peewee

from rolehost_webhooks.models.fields import JsonText


class Application(peewee.Model):
    """One application, usually one customer of the operator. Times are Unix milliseconds.

    The row of a deleted application is kept, without uid, until retention has removed its
    messages.

    Attributes:
        revision: a random number that changes whenever an endpoint of the application changes
            and when the application is deleted.
    """

    id = peewee.TextField(primary_key=True)
    uid = peewee.TextField(null=True)
    name = peewee.TextField()
    throttle_rate = peewee.IntegerField(null=True)
    metadata = JsonText()
    created_at = peewee.BigIntegerField()
    updated_at = peewee.BigIntegerField()
    deleted_at = peewee.BigIntegerField(null=True)
    revision = peewee.BigIntegerField(default=0)

    class Meta:  # noqa: D106
        table_name = "webhooks_application"
