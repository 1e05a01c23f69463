"""Table ``webhooks_delivery``: how one message stands with one endpoint."""

from __future__ import annotations

from enum import IntEnum

import peewee

from rolehost_webhooks.models.application import Application
from rolehost_webhooks.models.endpoint import Endpoint
from rolehost_webhooks.models.message import Message


class Status(IntEnum):
    """How a delivery stands; numbers and names are Svix's ``MessageStatus``."""

    SUCCESS = 0
    PENDING = 1
    FAIL = 2
    SENDING = 3
    CANCELED = 4


#: Statuses that a client which did not ask for ``expanded_statuses`` knows nothing of.
COLLAPSED = {Status.SENDING: Status.PENDING, Status.CANCELED: Status.FAIL}


class Delivery(peewee.Model):
    """One message on its way to one endpoint. Times are Unix milliseconds.

    ``SENDING`` is a delivery that failed and will be tried again at ``next_attempt``.

    Attributes:
        application: the joined row, for an attempt.
        endpoint: the joined row, in listings by message.
        message: the joined row, in listings by endpoint.
    """

    application: Application
    endpoint: Endpoint
    message: Message

    message_id = peewee.TextField()
    endpoint_id = peewee.TextField()
    status = peewee.SmallIntegerField()
    next_attempt = peewee.BigIntegerField(null=True)
    attempts = peewee.IntegerField()
    updated_at = peewee.BigIntegerField()

    class Meta:  # noqa: D106
        table_name = "webhooks_delivery"
        primary_key = peewee.CompositeKey("message_id", "endpoint_id")
