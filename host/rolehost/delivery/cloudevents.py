"""The rules of CloudEvents 1.0 for attributes, and RFC 3339 times.

Source: CloudEvents specification 1.0.2, sections "Type System" and "Context Attributes";
RFC 3339, section 5.6; RFC 3986, section 4.1.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from rolehost.api.events import AnyEvent
from rolehost.errors import PayloadError

VERSION = "1.0"

#: Attributes that are fields of :class:`rolehost.api.Event`, and names that the JSON format uses
#: for the payload.
RESERVED = frozenset(
    {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"}
)

_NONCHARACTERS = "".join(
    chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)
)
#: Characters that a String must not have: control characters, surrogates, noncharacters.
_FORBIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_EXTENSION = re.compile(r"[a-z0-9]{1,20}")
_URI = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]*:")
#: A scheme, or a path whose first segment has no colon.
_REFERENCE = re.compile(r"(?:[A-Za-z][A-Za-z0-9+\-.]*:|[^:/?#]*(?:[/?#]|\Z)).*", re.DOTALL)
_TOKEN = r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+"
_MEDIA_TYPE = re.compile(
    rf'{_TOKEN}/{_TOKEN}(?:\s*;\s*{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*"))*\s*', re.ASCII
)
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2}[Tt](?:[01]\d|2[0-3]):\d{2}:)(\d{2})(?:\.\d+)?"
    r"([Zz]|[+-](\d{2}):(\d{2}))",
    re.ASCII,
)


def parse_time(text: str) -> datetime:
    """Parse an RFC 3339 ``date-time``. Raises ValueError for any other text.

    Digits beyond microseconds are dropped. A leap second (``23:59:60`` in UTC) becomes the start
    of the next minute, because :class:`datetime` cannot represent it.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"expected an RFC 3339 time, got {text[:60]!r}")
    start, second, zone, hours, minutes = found.groups()
    if zone == "Z" and second != "60":  # PERF: the usual form
        return datetime.fromisoformat(text)
    if hours and (int(hours) > 23 or int(minutes) > 59):
        raise ValueError(f"expected an offset of less than a day, got {text[-6:]!r}")
    leap = second == "60"
    moment = datetime.fromisoformat((f"{start}59{zone}" if leap else text).upper())
    try:
        utc = moment.astimezone(UTC)
        if leap:
            if (utc.hour, utc.minute) != (23, 59):
                raise ValueError(f"expected a leap second at 23:59:60 UTC, got {text[:60]!r}")
            moment += timedelta(seconds=1)
    except OverflowError:
        raise ValueError(f"expected a moment of the years 1 to 9999, got {text[:60]!r}") from None
    return moment


def format_time(moment: datetime) -> str:
    """Return an RFC 3339 time in UTC. Raises ValueError without a zone or after the year 9999."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError(f"expected a datetime with a time zone, got {moment!r}")
    try:
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise ValueError(f"expected a moment of the years 1 to 9999, got {moment!r}") from None


def is_json(content_type: str) -> bool:
    """Return whether a media type is JSON (RFC 6839, section 3.1: the suffix ``+json``)."""
    media = content_type.partition(";")[0].strip().lower()
    return media.endswith(("/json", "+json"))


def check(event: AnyEvent, event_id: str, source: str) -> None:
    """Check an event before it is published: PayloadError if CloudEvents 1.0 forbids a value."""
    try:
        _string("topic", event.topic)
        _string("type", event.type)
        _string("id", event_id)
        _string("source", source)
        if not _is_reference(source):
            raise ValueError(f"source: expected a URI reference (RFC 3986), got {source!r}")
        if event.subject is not None:
            _string("subject", event.subject)
        if event.key is not None and not isinstance(event.key, str):
            raise ValueError(f"key: expected str or None, got {type(event.key).__name__}")
        if event.time is not None and not isinstance(event.time, datetime):
            raise ValueError(f"time: expected datetime or None, got {type(event.time).__name__}")
        _check_content_type(event.content_type)
        for name, value in event.extensions.items():
            _check_extension(name, value)
    except ValueError as error:
        raise PayloadError(
            f"event {event.type!r} for topic {event.topic!r}: {error}; CloudEvents 1.0 does not"
            " allow it"
        ) from None


def _string(name: str, value: Any, *, empty: bool = False) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected str, got {type(value).__name__}")
    if not value and not empty:
        raise ValueError(f"{name}: expected a text that is not empty, got ''")
    # PERF: printable ASCII has no forbidden characters.
    if value.isascii() and value.isprintable():
        return
    if (found := _FORBIDDEN.search(value)) is not None:
        raise ValueError(
            f"{name}: expected no control characters, surrogates or noncharacters, got"
            f" {found[0]!r} at character {found.start()}"
        )


@lru_cache(1024)  # PERF: there are few sources
def _is_reference(text: str) -> bool:
    return _URI.fullmatch(text) is not None and _REFERENCE.fullmatch(text) is not None


@lru_cache(1024)  # PERF: there are few sources
def _is_read_source(text: str) -> bool:
    # Other producers write characters beyond ASCII unescaped (an IRI, RFC 3987).
    return _is_reference(_BEYOND_ASCII.sub("x", text))


def _check_content_type(value: Any) -> None:
    if value == "application/json":
        return
    _string("content_type", value)
    if _MEDIA_TYPE.fullmatch(value) is None:
        raise ValueError(f"content_type: expected a media type (RFC 2046), got {value!r}")
    if value.lower().lstrip().startswith("application/cloudevents"):
        raise ValueError(
            f"content_type: expected the media type of the data, got {value!r}; to write whole"
            " events as JSON, set [delivery.content_modes]"
        )


def _check_extension(name: Any, value: Any) -> None:
    if not isinstance(name, str) or _EXTENSION.fullmatch(name) is None:
        raise ValueError(
            f"extensions: expected a name of 1 to 20 lower-case letters and digits, got {name!r}"
        )
    if name in RESERVED:
        raise ValueError(f"extensions: {name!r} is an attribute of CloudEvents itself")
    _string(f"extensions[{name!r}]", value, empty=name != "dataschema")
    if name == "dataschema" and not (_is_reference(value) and _SCHEME.match(value)):
        raise ValueError(f"extensions['dataschema']: expected an absolute URI, got {value!r}")


def check_read(attributes: dict[str, str]) -> None:
    """Raise ValueError if the attributes of an event that was read are not valid.

    If ``specversion`` is missing, id, source and type may be missing too, because simple producers
    write only some attributes.
    """
    version = attributes.get("specversion")
    if version is not None:
        if version != VERSION:
            raise ValueError(f"specversion: expected {VERSION!r}, got {version[:60]!r}")
        for name in ("id", "source", "type"):
            if name not in attributes:
                raise ValueError(f"{name}: missing")
    if "" in attributes.values():  # PERF: this is quicker than the loop
        for name in ("id", "source", "type", "subject", "datacontenttype", "dataschema"):
            if attributes.get(name) == "":
                raise ValueError(f"{name}: expected a text that is not empty, got ''")
    source = attributes.get("source", "")
    if source and not _is_read_source(source):
        raise ValueError(f"source: expected a URI reference, got {source[:60]!r}")
