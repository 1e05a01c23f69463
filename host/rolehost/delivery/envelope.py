"""Events on the wire: CloudEvents 1.0, Kafka protocol binding, binary content mode.

Source: CloudEvents Kafka Protocol Binding 1.0.2, section 3.2: attributes are headers with the
prefix ``ce_``, ``datacontenttype`` is the header ``content-type``, the value is the data.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from rolehost.api.events import AnyEvent, Event
from rolehost.delivery.texts import indexable
from rolehost.errors import PayloadError
from rolehost.storage import Delivery, Record

_encoder = msgspec.json.Encoder()
_NO_HEADERS: dict[str, str] = {}


def to_record(event: AnyEvent, *, event_id: str, source: str, now: int) -> Record:
    """Make the record of an event; ``now`` (milliseconds) stands in for a missing time.

    Raises:
        PayloadError: the payload cannot be encoded.
    """
    data = event.data
    if isinstance(data, bytes):
        value = data
    elif isinstance(data, msgspec.Raw):
        value = bytes(data)
    else:
        try:
            value = _encoder.encode(data)
        except (TypeError, ValueError, msgspec.EncodeError) as error:
            raise PayloadError(f"event {event.type} for topic {event.topic}: {error}") from None
    time = event.time or datetime.fromtimestamp(now / 1000, UTC)
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_source", (event.source or source).encode()),
        ("ce_type", event.type.encode()),
        ("ce_time", time.isoformat().replace("+00:00", "Z").encode()),
        ("content-type", event.content_type.encode()),
    ]
    if event.subject is not None:
        headers.append(("ce_subject", event.subject.encode()))
    headers += [(f"ce_{name}", text.encode()) for name, text in event.extensions.items()]
    key = None if event.key is None else event.key.encode()
    return Record(event.topic, value, key, tuple(headers))


def identity(delivery: Delivery) -> str:
    """Return the text by which the inbox knows an event: source and id, else its position."""
    headers = dict(delivery.record.headers)
    event_id = headers.get("ce_id")
    if event_id:
        source = headers.get("ce_source", b"")
        return indexable(f"{str(source, 'utf-8', 'replace')} {str(event_id, 'utf-8', 'replace')}")
    return _position(delivery)


def to_event(delivery: Delivery, decoder: msgspec.json.Decoder[Any] | None) -> AnyEvent:
    """Make the event of a delivered record; records of other producers need no headers.

    Args:
        delivery: what the stream handed over.
        decoder: decodes the JSON value; None leaves it as bytes.

    Raises:
        PayloadError: headers or value cannot be decoded.
    """
    record = delivery.record
    try:
        texts = {name.lower(): value.decode() for name, value in record.headers}
        data = record.value if decoder is None else decoder.decode(record.value)
        key = None if record.key is None else record.key.decode()
        time = texts.pop("ce_time", None)
        moment = (
            datetime.fromisoformat(time)
            if time
            else datetime.fromtimestamp(delivery.timestamp / 1000, UTC)
        )
    except (UnicodeDecodeError, ValueError, msgspec.DecodeError) as error:
        raise PayloadError(f"{type(error).__name__}: {error}") from None
    take = texts.pop
    take("ce_specversion", "")
    return Event(
        topic=record.topic,
        type=take("ce_type", ""),
        data=data,
        key=key,
        id=take("ce_id", "") or _position(delivery),
        source=take("ce_source", ""),
        subject=texts.pop("ce_subject", None),
        time=moment,
        content_type=take("content-type", "application/json"),
        # What is left: often nothing.
        extensions={name[3:]: text for name, text in texts.items() if name.startswith("ce_")}
        if texts
        else _NO_HEADERS,
    )


def _position(delivery: Delivery) -> str:
    return f"{delivery.partition.topic}/{delivery.partition.number}/{delivery.offset}"
