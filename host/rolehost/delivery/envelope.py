"""Events on the wire: CloudEvents 1.0 in both content modes of the Kafka protocol binding.

Source: CloudEvents Kafka Protocol Binding 1.0.2. Binary mode (section 3.2): attributes are
headers with the prefix ``ce_``, ``datacontenttype`` is the header ``content-type``, the value is
the data. Structured mode (section 3.3): the value is the whole event in the JSON format, and
``content-type`` is ``application/cloudevents+json``.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from rolehost.api.events import AnyEvent, Event
from rolehost.api.values import MAX_TEXT_LENGTH
from rolehost.delivery import cloudevents
from rolehost.errors import PayloadError
from rolehost.failures import storable
from rolehost.storage import Record

_encoder = msgspec.json.Encoder()
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NO_EXTENSIONS: dict[str, str] = {}
_STRUCTURED = "application/cloudevents+json"
#: Name of a header as this module writes it → attribute.
_NAMES = {
    "content-type": "datacontenttype",
    **{f"ce_{name}": name for name in ("specversion", "id", "source", "type", "time", "subject")},
}
#: The attributes and the data of an event.
Parsed = tuple[dict[str, str], bytes]

#: The latest moment that a :class:`datetime` holds, in milliseconds.
_LATEST = 253_402_300_799_999


def to_record(
    event: AnyEvent,
    *,
    event_id: str,
    source: str,
    now: int,
    mode: Literal["binary", "structured"] = "binary",
) -> Record:
    """Encode an event; ``source`` and ``now`` (milliseconds) are the defaults of its attributes.

    Raises PayloadError if CloudEvents does not allow an attribute, or the payload cannot be
    encoded.
    """
    source = event.source or source
    cloudevents.check(event, event_id, source)
    value = _value(event)
    try:
        time = cloudevents.format_time(event.time or datetime.fromtimestamp(now / 1000, UTC))
    except ValueError as error:
        raise _payload_error(event, f"time: {error}") from None
    attributes = {
        "specversion": cloudevents.VERSION,
        "id": event_id,
        "source": source,
        "type": event.type,
        "time": time,
    }
    if event.subject is not None:
        attributes["subject"] = event.subject
    attributes.update(event.extensions)
    key = None if event.key is None else event.key.encode(errors="surrogateescape")
    if mode == "structured":
        value = _structured(event, attributes, value)
        return Record(event.topic, value, key, (("content-type", _STRUCTURED.encode()),))
    headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    headers.append(("content-type", event.content_type.encode()))
    return Record(event.topic, value, key, tuple(headers))


def _value(event: AnyEvent) -> bytes:
    data = event.data
    if isinstance(data, bytes):
        return data
    if isinstance(data, msgspec.Raw):
        return bytes(data)
    try:
        return _encoder.encode(data)
    except (TypeError, ValueError, RecursionError, msgspec.EncodeError) as error:
        raise _payload_error(event, f"data: {error}") from None


def _structured(event: AnyEvent, attributes: dict[str, str], value: bytes) -> bytes:
    members: dict[str, Any] = {**attributes, "datacontenttype": event.content_type}
    if cloudevents.is_json(event.content_type):
        try:
            msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _payload_error(event, f"data: expected {event.content_type}: {error}") from None
        members["data"] = msgspec.Raw(value)
    else:
        members["data_base64"] = b64encode(value).decode()
    return _encoder.encode(members)


def _payload_error(event: AnyEvent, reason: str) -> PayloadError:
    return PayloadError(f"event {event.type!r} for topic {event.topic!r}: {reason}")


def identity(record: Record) -> str:
    """Return an event's identity in the inbox: source and id; without an id, its position."""
    return identified(record)[0]


def identified(record: Record) -> tuple[str, Parsed | None]:
    """Return the identity of a record's event, and what :func:`to_event` may use once."""
    try:
        parsed = _attributes(record)
    except PayloadError:
        return position(record), None
    event_id = parsed[0].get("id")
    if not event_id:
        return position(record), parsed
    # A space separates source and id, so it must not occur in the source.
    source = parsed[0].get("source", "").replace(" ", "%20")
    return indexable(f"{source} {event_id}"), parsed


def position(record: Record) -> str:
    """Return topic, partition and offset, the identity of a record without id."""
    return f"{record.topic}/{record.partition.number}/{record.offset}"


def indexable(text: str) -> str:
    """Return a storable text that fits in an index; a digest replaces the end of a long text."""
    if len(text) > MAX_TEXT_LENGTH:
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=20).hexdigest()
        text = f"{text[: MAX_TEXT_LENGTH - 50]} {digest}"
    return storable(text)


def id_and_data(record: Record) -> tuple[str, bytes]:
    """Return id and data of a record's event; if unreadable, an empty id and the record's value."""
    try:
        attributes, data = _attributes(record)
    except PayloadError:
        return "", record.value
    return attributes.get("id", ""), data


def to_event(
    record: Record, decoder: msgspec.json.Decoder[Any] | None, parsed: Parsed | None = None
) -> AnyEvent:
    """Decode a record; records of other producers may lack CloudEvents headers.

    Bytes of the key that are not UTF-8 become surrogate escapes (PEP 383), and are published again
    as the same bytes. Without a decoder the data stays bytes. Raises PayloadError if attributes or
    value cannot be decoded.
    """
    attributes, value = parsed or _attributes(record)
    try:
        if attributes:
            cloudevents.check_read(attributes)
        time = attributes.pop("time", None)
        if time is None:
            # A producer may write any number, so it is limited to the range of datetime.
            timestamp = max(0, min(record.timestamp, _LATEST))
            moment = datetime.fromtimestamp(timestamp / 1000, UTC)
        else:
            moment = cloudevents.parse_time(time)
        data = value if decoder is None else decoder.decode(value)
    except Exception as error:  # a decoder runs code of the payload's types
        raise PayloadError(f"{type(error).__name__}: {error}") from None
    take = attributes.pop
    take("specversion", "")
    return Event(
        topic=record.topic,
        type=take("type", ""),
        data=data,
        key=None if record.key is None else record.key.decode(errors="surrogateescape"),
        id=take("id", "") or position(record),
        source=take("source", ""),
        subject=attributes.pop("subject", None),
        time=moment,
        content_type=take("datacontenttype", "application/json"),
        extensions=attributes or _NO_EXTENSIONS,
    )


def _attributes(record: Record) -> Parsed:
    """Return the unchecked attributes and the data of a record's event.

    Ignore other headers. Raises PayloadError if an attribute occurs twice or cannot be read, or if
    the name of another header is not UTF-8.
    """
    found: dict[str, str] = {}
    for name, value in record.headers:
        # PERF: most producers write the names as in the specification.
        attribute = _NAMES.get(name) or _attribute(name)
        if not attribute:
            continue
        if attribute in found:
            raise PayloadError(f"header {name!r}: it occurs twice")
        try:
            found[attribute] = value.decode()
        except UnicodeDecodeError:
            raise PayloadError(f"header {name!r}: its value is not UTF-8") from None
    content_type = found.get("datacontenttype", "")
    if content_type[:23].lower() == "application/cloudevents":
        return _read_structured(content_type, record.value)
    return found, record.value


def _attribute(name: str) -> str:
    """Return the attribute that a header holds; empty for other headers.

    Raises PayloadError if the name of another header is not UTF-8.
    """
    lower = name.lower()
    if lower.startswith("ce_"):
        return lower[3:]
    if lower == "content-type":
        return "datacontenttype"
    try:
        name.encode()
    except UnicodeEncodeError:
        raise PayloadError(f"header {name!r}: its name is not UTF-8") from None
    return ""


def _read_structured(content_type: str, value: bytes) -> tuple[dict[str, str], bytes]:
    media = content_type.partition(";")[0].strip().lower()
    if media != _STRUCTURED:
        raise PayloadError(
            f"header 'content-type': expected {_STRUCTURED} or the media type of the data,"
            f" got {content_type[:100]!r}"
        )
    try:
        members = _members.decode(value)
        found: dict[str, str] = {}
        for name, raw in members.items():
            if name in ("data", "data_base64"):
                continue
            text = _text(name, msgspec.json.decode(raw))
            if text is None:
                continue
            if name.lower() in found:
                raise ValueError(f"{name}: it occurs twice")
            found[name.lower()] = text
        if "specversion" not in found:
            raise ValueError("specversion: missing")
        return found, _data(members, found.get("datacontenttype", "application/json"))
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        raise PayloadError(f"{type(error).__name__}: structured event: {error}") from None


def _text(name: str, value: Any) -> str | None:
    """Return the canonical text of an attribute in the JSON format; None if it is unset."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    got = type(value).__name__
    raise ValueError(f"{name}: expected a text, a boolean or an integer, got {got}")


def _data(members: dict[str, msgspec.Raw], content_type: str) -> bytes:
    raw, encoded = members.get("data"), members.get("data_base64")
    if raw is not None and encoded is not None:
        raise ValueError("data and data_base64: expected one of them")
    if encoded is not None:
        try:
            return b64decode(msgspec.json.decode(encoded, type=str), validate=True)
        except binascii.Error as error:
            raise ValueError(f"data_base64: {error}") from None
    if raw is None:
        return b""
    data = bytes(raw)
    if data.startswith(b'"') and not cloudevents.is_json(content_type):
        return msgspec.json.decode(data, type=str).encode()
    return data
