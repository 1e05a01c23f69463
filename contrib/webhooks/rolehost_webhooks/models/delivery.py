"""Table ``webhooks_delivery``: the delivery status of one message for one endpoint."""

from __future__ import annotations

from enum import IntEnum

import peewee

from rolehost_webhooks.models.application import Application
from rolehost_webhooks.models.endpoint import Endpoint
from rolehost_webhooks.models.message import Message


class Status(IntEnum):
    """Status of a delivery; numbers and names are Svix's ``MessageStatus``."""

    SUCCESS = 0
    PENDING = 1
    FAIL = 2
    SENDING = 3
    CANCELED = 4


#: Status that older clients do not know → status that is shown instead, unless the request has
#: ``expanded_statuses``.
COLLAPSED = {Status.SENDING: Status.PENDING, Status.CANCELED: Status.FAIL}


class Delivery(peewee.Model):
    """The delivery of one message to one endpoint. Times are Unix milliseconds.

    ``SENDING`` means that an attempt failed and the delivery is retried at ``next_attempt``.

    Attributes:
        application: the row of the application; set only by queries that join it.
        endpoint: the row of the endpoint; set only by queries that join it.
        message: the row of the message; set only by queries that join it.
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
