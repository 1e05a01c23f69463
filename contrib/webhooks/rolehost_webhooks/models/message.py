"""Table ``webhooks_message``: messages, stored once for all endpoints."""

from __future__ import annotations

import peewee

from rolehost_webhooks.models.application import Application
from rolehost_webhooks.models.fields import JsonText


class Message(peewee.Model):
    """One message. Times are Unix milliseconds.

    Attributes:
        application: the row of the application; set only by the query of the fan-out, which joins
            it.
        event_id: the caller's id; unique in its application for a day.
        superseded: 0; equal to ``created_at`` after a later message reused the ``event_id``.
        payload: the body that receivers get, byte for byte; None if it was expunged.
        content_type: media type of a raw payload; None for a JSON object.
        payload_expires_at: when the payload is removed; None keeps it as long as the message.
        deliver_at: when delivery starts; None starts at once.
    """

    application: Application

    id = peewee.TextField(primary_key=True)
    app_id = peewee.TextField()
    event_id = peewee.TextField(null=True)
    superseded = peewee.BigIntegerField(default=0)
    event_type = peewee.TextField()
    channels = JsonText(null=True)
    tags = JsonText(null=True)
    payload = peewee.BlobField(null=True)
    content_type = peewee.TextField(null=True)
    payload_expires_at = peewee.BigIntegerField(null=True)
    deliver_at = peewee.BigIntegerField(null=True)
    created_at = peewee.BigIntegerField()

    class Meta:  # noqa: D106
        table_name = "webhooks_message"
