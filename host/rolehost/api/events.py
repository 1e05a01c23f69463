"""Events: CloudEvents 1.0 envelopes with a typed payload.

Source: CloudEvents specification 1.0.2, and its Kafka protocol binding (binary mode).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


class Event(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One event. :meth:`UnitOfWork.publish` publishes it; a handler gets it with all fields set.

    Attributes:
        topic: topic of the stream.
        type: CloudEvents ``type``, for example ``invoice.paid``.
        data: the payload. ``bytes`` and ``msgspec.Raw`` are published unchanged; every other value
            is encoded as JSON.
        key: events with the same key keep their order; None: no order.
        id: CloudEvents ``id``. If it is empty, publishing sets a UUID version 7.
        source: CloudEvents ``source``. If it is empty, publishing sets ``/NAME-OF-THE-DEPLOYMENT``.
        subject: CloudEvents ``subject``, or None.
        time: time of the event. If it is None, publishing sets the current time in UTC.
        content_type: media type of ``data``.
        extensions: CloudEvents extension attributes; names have lower-case letters and digits.

    Example:
        ``Event(topic="orders", type="order.placed", data=Placed(number=7), key="7")``
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


#: An event with any payload.
AnyEvent = Event[Any]
