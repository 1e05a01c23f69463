"""Table ``webhooks_attempt``: one request to one endpoint."""

from __future__ import annotations

from enum import IntEnum

import peewee

from rolehost_webhooks.models.message import Message


class Trigger(IntEnum):
    """Why an attempt was made; numbers are Svix's ``MessageAttemptTriggerType``."""

    SCHEDULED = 0
    MANUAL = 1


class Attempt(peewee.Model):
    """One request and what came back. Times are Unix milliseconds.

    Attributes:
        response: the beginning of the response's body, or why there was none.
        response_status: HTTP status; 0 when there was no response.
        duration: milliseconds from the request's start to the response's end.
        status: :class:`Status` ``SUCCESS`` or ``FAIL``.
        message: the joined row, in listings.
    """

    message: Message

    id = peewee.TextField(primary_key=True)
    app_id = peewee.TextField()
    message_id = peewee.TextField()
    endpoint_id = peewee.TextField()
    url = peewee.TextField()
    response = peewee.TextField()
    response_status = peewee.SmallIntegerField()
    duration = peewee.IntegerField()
    status = peewee.SmallIntegerField()
    trigger = peewee.SmallIntegerField()
    created_at = peewee.BigIntegerField()

    class Meta:  # noqa: D106
        table_name = "webhooks_attempt"
