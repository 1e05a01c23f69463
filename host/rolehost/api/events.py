"""Events: CloudEvents 1.0 envelopes with a typed payload.

Source: CloudEvents specification 1.0.2, and its Kafka protocol binding (binary mode).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


class Event(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One event. Publish it with :meth:`UnitOfWork.publish`; handlers receive it filled in.

    Attributes:
        topic: the stream topic it goes to or came from.
        type: CloudEvents ``type``: what happened (``invoice.paid``).
        data: the payload. ``bytes`` and ``msgspec.Raw`` go out as they are; anything else is
            encoded as JSON.
        key: events of one key keep their order; None promises no order.
        id: CloudEvents ``id``; empty on publishing: the unit of work gives a UUID version 7.
        source: CloudEvents ``source``; empty on publishing: ``/NAME-OF-THE-DEPLOYMENT``.
        subject: CloudEvents ``subject``, or None.
        time: when it happened; None on publishing: now, in UTC.
        content_type: media type of ``data``.
        extensions: CloudEvents extension attributes, names in lower-case letters and digits.
    """

    topic: str
    type: str
    data: T
    key: str | None = None
    id: str = ""
    source: str = ""
    subject: str | None = None
    time: datetime | None = None
    content_type: str = "application/json"
    extensions: dict[str, str] = {}


#: An event of any payload.
AnyEvent = Event[Any]
