"""Table ``webhooks_application``: owners of endpoints and messages."""

from __future__ import annotations

import peewee

from rolehost_webhooks.models.fields import JsonText


class Application(peewee.Model):
    """One application, usually one customer of the user. Times are Unix milliseconds.

    A deleted application keeps its row, without its uid, until retention has removed its
    messages.

    Attributes:
        revision: a new random number with every change of the application's endpoints and with
            its deletion.
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
