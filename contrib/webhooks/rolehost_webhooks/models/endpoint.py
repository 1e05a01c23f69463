"""Table ``webhooks_endpoint``: receivers of an application's messages."""

from __future__ import annotations

import peewee

from rolehost_webhooks.models.fields import JsonText


class Endpoint(peewee.Model):
    """One receiver. Times are Unix milliseconds.

    Attributes:
        event_types: names of the event types that it receives; None: all.
        channels: channels whose messages it receives; None: all messages.
        headers: headers added to each request.
        version: a number that clients set; it has no effect.
        secret: the current signing secret, ``whsec_…``.
        old_secrets: ``[{"key": secret, "expiresAt": milliseconds}, …]``, newest first; they
            also sign until they expire.
        fifo: whether it gets its messages one after the other, in their order; None: no.
        failing_since: when it began to fail (:mod:`rolehost_webhooks.actors.breaker`), or None.
    """

    id = peewee.TextField(primary_key=True)
    app_id = peewee.TextField()
    uid = peewee.TextField(null=True)
    url = peewee.TextField()
    description = peewee.TextField()
    throttle_rate = peewee.IntegerField(null=True)
    event_types = JsonText(null=True)
    channels = JsonText(null=True)
    headers = JsonText()
    version = peewee.IntegerField(default=1)
    metadata = JsonText()
    disabled = peewee.BooleanField()
    fifo = peewee.BooleanField(null=True)
    secret = peewee.TextField()
    old_secrets = JsonText()
    failing_since = peewee.BigIntegerField(null=True)
    created_at = peewee.BigIntegerField()
    updated_at = peewee.BigIntegerField()
    deleted_at = peewee.BigIntegerField(null=True)

    class Meta:  # noqa: D106
        table_name = "webhooks_endpoint"
