"""Event types: create, find, change, archive."""

from __future__ import annotations

from typing import Any

from rolehost.api import Services

from rolehost_webhooks import rules
from rolehost_webhooks.domain.changes import save, sent_fields
from rolehost_webhooks.errors import Conflict, NotFound
from rolehost_webhooks.models import EventType
from rolehost_webhooks.repositories import event_types
from rolehost_webhooks.schemas.event_types import EventTypeIn, EventTypePatch, EventTypePut


def get(name: str, *, lock: bool = False) -> EventType:
    """Return the event type of this name.

    Args:
        lock: lock the row, to change it within the unit of work.

    Raises:
        NotFound: it does not exist.
    """
    event_type = event_types.find(rules.reference(name, "Event type"), lock=lock)
    if event_type is None:
        raise NotFound("Event type")
    return event_type


def create(services: Services, body: EventTypeIn) -> EventType:
    """Create an event type, or restore an archived one with the given values.

    Raises:
        Conflict: the name is in use.
    """
    event_type = _new(services, body.name, body)
    with services.unit_of_work():
        if event_types.insert(event_type):
            return event_type
        existing = get(body.name, lock=True)
        if not existing.archived:
            raise Conflict(f"The event type {body.name!r} already exists", "event_type_exists")
        save(services, existing, column_values(body))
    return existing


def put(services: Services, name: str, body: EventTypePut) -> tuple[EventType, bool]:
    """Replace an event type, or create it; return it, and whether it is new.

    Raises:
        Rejected: the name is invalid.
    """
    rules.check_name(name, ("path", "event_type_name"))
    event_type = _new(services, name, body)
    with services.unit_of_work():
        # If two calls create it at the same time, the second call replaces it.
        if event_types.insert(event_type):
            return event_type, True
        event_type = get(name, lock=True)
        save(services, event_type, column_values(body))
    return event_type, False


def patch(services: Services, name: str, body: EventTypePatch) -> EventType:
    """Change the given fields of an event type.

    Raises:
        NotFound: it does not exist.
    """
    values = sent_fields(body)
    rules.json_of(values.get("schemas"), ("body", "schemas"))
    with services.unit_of_work():
        event_type = get(name, lock=True)
        save(services, event_type, values)
    return event_type


def delete(services: Services, name: str, *, expunge: bool) -> None:
    """Archive an event type, or with ``expunge`` remove it.

    Raises:
        NotFound: it does not exist.
    """
    with services.unit_of_work():
        event_type = get(name, lock=True)
        if expunge:
            event_types.delete(event_type)
        else:
            save(services, event_type, {"archived": True})


def _new(services: Services, name: str, body: EventTypePut) -> EventType:
    now = services.clock.now()
    return EventType(name=name, created_at=now, updated_at=now, **column_values(body))


def column_values(body: EventTypePut) -> dict[str, Any]:
    """Return the column values that a full replacement sets.

    Raises:
        Rejected: the schemas cannot be stored.
    """
    rules.json_of(body.schemas, ("body", "schemas"))
    return {
        "description": body.description,
        "schemas": body.schemas,
        "archived": bool(body.archived),
        "deprecated": bool(body.deprecated),
        "group_name": body.group_name,
        "feature_flags": body.feature_flags or None,
    }
