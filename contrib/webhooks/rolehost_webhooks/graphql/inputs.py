"""Input types of mutations; the body types of the HTTP API check the limits of the fields."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

import strawberry
from rolehost.api.http import decode
from strawberry.scalars import JSON
from strawberry.types import get_object_definition

from rolehost_webhooks.rules import json_of

T = TypeVar("T")

UNSET: Any = strawberry.UNSET


@strawberry.input
class ApplicationInput:
    """Fields of a new application."""

    name: str
    uid: str | None = UNSET
    throttle_rate: int | None = UNSET
    metadata: JSON | None = UNSET


@strawberry.input
class ApplicationChanges:
    """Changed fields of an application."""

    name: str | None = UNSET
    uid: str | None = UNSET
    throttle_rate: int | None = UNSET
    metadata: JSON | None = UNSET


@strawberry.input
class EndpointInput:
    """Fields of a new endpoint."""

    url: str
    description: str | None = UNSET
    uid: str | None = UNSET
    throttle_rate: int | None = UNSET
    event_types: list[str] | None = UNSET
    channels: list[str] | None = UNSET
    disabled: bool | None = UNSET
    fifo: bool | None = UNSET
    metadata: JSON | None = UNSET
    secret: str | None = UNSET
    headers: JSON | None = UNSET


@strawberry.input
class EndpointChanges:
    """Changed fields of an endpoint."""

    url: str | None = UNSET
    description: str | None = UNSET
    uid: str | None = UNSET
    throttle_rate: int | None = UNSET
    event_types: list[str] | None = UNSET
    channels: list[str] | None = UNSET
    disabled: bool | None = UNSET
    fifo: bool | None = UNSET
    metadata: JSON | None = UNSET


@strawberry.input
class MessageInput:
    """Fields of a new message. Receivers get `payload` as compact JSON."""

    event_type: str
    payload: JSON
    event_id: str | None = UNSET
    channels: list[str] | None = UNSET
    tags: list[str] | None = UNSET
    deliver_at: datetime | None = UNSET
    payload_retention_period: int | None = UNSET
    payload_retention_hours: int | None = UNSET
    application: ApplicationInput | None = UNSET


def body(given: Any, kind: type[T]) -> T:
    """Convert an input into the corresponding body of the HTTP API.

    Raises:
        Invalid: the input is invalid; the errors are the same as in the HTTP API.
        Rejected: the input cannot be encoded as JSON.
    """
    return decode(json_of(_fields(given), ("input",)), kind)


def _fields(given: Any) -> Any:
    definition = get_object_definition(given)
    if definition is None:
        return given
    return {
        _camel(field.python_name): _fields(value)
        for field in definition.fields
        if (value := getattr(given, field.python_name)) is not UNSET
    }


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
