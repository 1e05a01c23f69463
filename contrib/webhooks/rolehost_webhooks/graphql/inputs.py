"""What mutations take. Limits are not repeated here: the bodies of the HTTP API check them."""

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
    """An application as it is created."""

    name: str
    uid: str | None = UNSET
    throttle_rate: int | None = UNSET
    metadata: JSON | None = UNSET


@strawberry.input
class ApplicationChanges:
    """What changes of an application."""

    name: str | None = UNSET
    uid: str | None = UNSET
    throttle_rate: int | None = UNSET
    metadata: JSON | None = UNSET


@strawberry.input
class EndpointInput:
    """An endpoint as it is created."""

    url: str
    description: str | None = UNSET
    uid: str | None = UNSET
    throttle_rate: int | None = UNSET
    event_types: list[str] | None = UNSET
    channels: list[str] | None = UNSET
    disabled: bool | None = UNSET
    metadata: JSON | None = UNSET
    secret: str | None = UNSET
    headers: JSON | None = UNSET


@strawberry.input
class EndpointChanges:
    """What changes of an endpoint."""

    url: str | None = UNSET
    description: str | None = UNSET
    uid: str | None = UNSET
    throttle_rate: int | None = UNSET
    event_types: list[str] | None = UNSET
    channels: list[str] | None = UNSET
    disabled: bool | None = UNSET
    metadata: JSON | None = UNSET


@strawberry.input
class MessageInput:
    """A message as it is sent. Receivers get `payload` as compact JSON."""

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
    """Turn an input into the body that the HTTP API would have been sent.

    Raises:
        Invalid: it does not fit; the same mistakes in the same words.
        Rejected: it cannot be put into JSON.
    """
    return decode(json_of(_sent(given), ("input",)), kind)


def _sent(given: Any) -> Any:
    definition = get_object_definition(given)
    if definition is None:
        return given
    return {
        _camel(field.python_name): _sent(value)
        for field in definition.fields
        if (value := getattr(given, field.python_name)) is not UNSET
    }


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
