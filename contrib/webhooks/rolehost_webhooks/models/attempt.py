"""Table ``webhooks_attempt``: one request to one endpoint."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import peewee

from rolehost_webhooks.models.message import Message


class Trigger(IntEnum):
    """Why an attempt was made; the numbers are Svix's ``MessageAttemptTriggerType``."""

    SCHEDULED = 0
    MANUAL = 1


class Cause(StrEnum):
    """Why a request had no complete HTTP response.

    Attributes:
        REFUSED: nothing listens on the port.
        UNREACHABLE: there is no route to the address.
        DNS: the name has no address.
        TLS: the handshake failed, for example because of the certificate.
        TIMEOUT: the receiver was too slow.
        CLOSED: the receiver closed the connection before the response ended.
        BAD_RESPONSE: the response is not HTTP.
        BLOCKED: the name has no address to which deliveries are allowed.
        BAD_REQUEST: the request cannot be sent.
    """

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    DNS = "dns"
    TLS = "tls"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    BAD_RESPONSE = "bad_response"
    BLOCKED = "blocked"
    BAD_REQUEST = "bad_request"


class Attempt(peewee.Model):
    """One request and its response. Times are Unix milliseconds.

    Attributes:
        response: the beginning of the response's body; if the status is 0, the reason.
        response_status: HTTP status; 0 if there was no complete HTTP response.
        cause: a :class:`Cause` if the status is 0, else None.
        duration: milliseconds from the request's start to the response's end.
        status: :class:`Status` ``SUCCESS`` or ``FAIL``.
        message: the row of the message; set only by queries that join it, for listings.
    """

    message: Message

    id = peewee.TextField(primary_key=True)
    app_id = peewee.TextField()
    message_id = peewee.TextField()
    endpoint_id = peewee.TextField()
    url = peewee.TextField()
    response = peewee.TextField()
    response_status = peewee.SmallIntegerField()
    cause = peewee.TextField(null=True)
    duration = peewee.IntegerField()
    status = peewee.SmallIntegerField()
    trigger = peewee.SmallIntegerField()
    created_at = peewee.BigIntegerField()

    class Meta:  # noqa: D106
        table_name = "webhooks_attempt"
