"""Handler ``webhooks.ingest``: each event of a topic becomes a message.

The event's ``type`` becomes the event type, its ``id`` the eventId and its data the payload, byte
for byte. The extension attribute ``webhooksapp`` names the application; the default is in the
settings.

Source and id identify an event. If a message from another source already has the id, the
eventId is the id with a digest of the source.
"""

from __future__ import annotations

import hashlib

import msgspec
from rolehost.api import Event, EventContext, Handler, RetryPolicy, load_json

from rolehost_webhooks.domain import messages
from rolehost_webhooks.errors import Rejected
from rolehost_webhooks.rules import Name, check_name
from rolehost_webhooks.schemas.messages import MessageIn
from rolehost_webhooks.settings import IngestSettings

GROUP = "webhooks-ingest"

#: CloudEvents extension attribute: id or uid of the application.
APPLICATION_ATTRIBUTE = "webhooksapp"

#: Retries for half a minute, in case the application is created later. Invalid events are not
#: retried.
RETRY = RetryPolicy(attempts=6, delays=(0.1, 0.5, 2.0, 8.0, 20.0), fatal=(Rejected,))


def ingest(settings: IngestSettings) -> Handler:
    """Return the handler of the topic that the settings name."""

    def handle(context: EventContext, event: Event[bytes]) -> None:
        take(context, event, settings.application)

    return Handler(
        fn=handle, name="webhooks.ingest", topic=settings.topic, group=GROUP, retry=RETRY
    )


def take(context: EventContext, event: Event[bytes], default_application: str | None) -> None:
    """Create a message from an event.

    The inbox of the consumer group removes duplicates by source and id for as long as an
    eventId must be unique, so the event is new. Its id may still be in use by another source.

    Raises:
        Rejected: the event has no application, or its data is not a JSON object.
        NotFound: the application does not exist (yet).
    """
    application = event.extensions.get(APPLICATION_ATTRIBUTE) or default_application
    if not application:
        raise Rejected((APPLICATION_ATTRIBUTE,), "the event names no application")
    check_name(application, (APPLICATION_ATTRIBUTE,))
    message = message_of(event)
    if messages.create_if_new(context.services, application, message) is None:
        message.event_id = event_id_with_source(event)
        messages.create_if_new(context.services, application, message)


def event_id_with_source(event: Event[bytes]) -> str:
    """Return the eventId for an event whose id is in use: its id and a digest of its source."""
    digest = hashlib.blake2b(event.source.encode(errors="replace"), digest_size=8).hexdigest()
    return f"{event.id[:200]}.{digest}"


def message_of(event: Event[bytes]) -> MessageIn:
    """Convert an event into a message, with the same checks as over HTTP.

    Raises:
        Rejected: type, id or data are invalid.
    """
    try:
        return MessageIn(
            event_type=msgspec.convert(event.type, Name),
            event_id=msgspec.convert(event.id, Name),
            payload=load_json(event.data, msgspec.Raw),
        )
    except ValueError as error:
        raise Rejected(("event",), str(error)) from None
