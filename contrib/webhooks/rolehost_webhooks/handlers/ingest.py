"""Handler ``webhooks.ingest``: each event of a topic becomes a message.

The event's ``type`` is the event type, its ``id`` the eventId, its data the payload, byte for
byte. The application is named by the extension attribute ``webhooksapp``, or by the settings.

An event is known by source and id. If a message of another source has the id already, the
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

#: Half a minute for an application that is being created; an invalid event is never tried again.
RETRY = RetryPolicy(attempts=6, delays=(0.1, 0.5, 2.0, 8.0, 20.0), fatal=(Rejected,))


def ingest(settings: IngestSettings) -> Handler:
    """Return the handler of the topic that the settings name."""

    def handle(context: EventContext, event: Event[bytes]) -> None:
        take(context, event, settings.application)

    return Handler(
        fn=handle, name="webhooks.ingest", topic=settings.topic, group=GROUP, retry=RETRY
    )


def take(context: EventContext, event: Event[bytes], default_application: str | None) -> None:
    """Make a message of an event; an event with a known source and id changes nothing.

    The consumer group's inbox knows source and id, so an event that comes here is new, for as
    long as an eventId is unique. Only its eventId may be that of another event.

    Raises:
        Rejected: the event names no application, or its data is no JSON object.
        NotFound: the application does not exist (yet).
    """
    application = event.extensions.get(APPLICATION_ATTRIBUTE) or default_application
    if not application:
        raise Rejected((APPLICATION_ATTRIBUTE,), "the event names no application")
    check_name(application, (APPLICATION_ATTRIBUTE,))
    message = message_of(event)
    if messages.take(context.services, application, message) is None:
        message.event_id = of_source(event)
        messages.take(context.services, application, message)


def of_source(event: Event[bytes]) -> str:
    """Return the eventId of an event whose id is in use: its id and a digest of its source."""
    digest = hashlib.blake2b(event.source.encode(errors="replace"), digest_size=8).hexdigest()
    return f"{event.id[:200]}.{digest}"


def message_of(event: Event[bytes]) -> MessageIn:
    """Return the message that an event means, checked like one that comes over HTTP.

    Raises:
        Rejected: type, id or data do not fit.
    """
    try:
        return MessageIn(
            event_type=msgspec.convert(event.type, Name),
            event_id=msgspec.convert(event.id, Name),
            payload=load_json(event.data, msgspec.Raw),
        )
    except ValueError as error:
        raise Rejected(("event",), str(error)) from None
