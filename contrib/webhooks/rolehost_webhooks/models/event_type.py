"""Table ``webhooks_event_type``: the catalogue of event types."""

from __future__ import annotations

import peewee

from rolehost_webhooks.models.fields import JsonText


class EventType(peewee.Model):
    """One event type. Times are Unix milliseconds. ``schemas`` has JSON Schemas by version."""

    name = peewee.TextField(primary_key=True)
    description = peewee.TextField()
    schemas = JsonText(null=True)
    archived = peewee.BooleanField()
    deprecated = peewee.BooleanField()
    group_name = peewee.TextField(null=True)
    feature_flags = JsonText(null=True)
    created_at = peewee.BigIntegerField()
    updated_at = peewee.BigIntegerField()

    class Meta:  # noqa: D106
        table_name = "webhooks_event_type"
