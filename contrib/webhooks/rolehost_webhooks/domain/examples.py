"""Sends an example of an event type to one endpoint, so that its owner can test it."""

from __future__ import annotations

from typing import Any

from rolehost.api import Services

from rolehost_webhooks import ids, rules
from rolehost_webhooks.domain import endpoints
from rolehost_webhooks.domain.messages import send_once
from rolehost_webhooks.errors import Impossible, NotFound
from rolehost_webhooks.models import Message
from rolehost_webhooks.repositories import event_types, messages
from rolehost_webhooks.repositories.ordering import next_id
from rolehost_webhooks.schemas.endpoints import ExampleIn

#: The event type that has an example without being in the catalogue.
PING = "svix.ping"


def send(services: Services, app_reference: str, reference: str, body: ExampleIn) -> Message:
    """Send an example to this endpoint only, whatever its filters are.

    Raises:
        NotFound: application, endpoint or event type do not exist.
        Impossible: no payload is given, and the event type does not have this example.
    """
    payload = body.payload
    if payload is None:
        payload = example_of(body.event_type, body.example_index)
    sent = rules.json_of(payload, ("body", "payload"))
    now = services.clock.now()
    with services.unit_of_work() as work:
        endpoint = endpoints.get(app_reference, reference)
        message = Message(
            id=next_id(Message, ids.MESSAGE, services),
            app_id=endpoint.app_id,
            event_type=body.event_type,
            payload=sent,
            created_at=now,
        )
        messages.insert(message)
        send_once(services, work, message.id, endpoint.id)
    return message


def example_of(event_type: str, index: int) -> dict[str, Any]:
    """Return an example from the newest schema of the event type.

    The keyword of JSON Schema is ``examples``; ``example`` is an older keyword of OpenAPI.

    Raises:
        NotFound: the event type does not exist.
        Impossible: its schema does not have this example.
    """
    if event_type == PING:
        return {"success": True}
    known = event_types.find(event_type)
    if known is None:
        raise NotFound("Event type")
    schemas = known.schemas or {}
    newest = schemas[max(schemas, key=_version)] if schemas else {}
    if not isinstance(newest, dict):
        newest = {}
    examples = newest.get("examples") or [newest.get("example")]
    if index < len(examples) and isinstance(examples[index], dict):
        found: dict[str, Any] = examples[index]
        return found
    raise Impossible("the event type's schema has no such example", "invalid_scheme")


def _version(name: str) -> tuple[int, str]:
    """Return a sort key: numeric versions sort as numbers, so "10" comes after "9"."""
    return (int(name) if name.isdigit() else 0, name)
