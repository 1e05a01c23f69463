"""Messages: create, show, resend."""

from __future__ import annotations

from rolehost.api import Services, UnitOfWork

from rolehost_webhooks import ids, rules
from rolehost_webhooks.actors.deliver import JSON, deliver
from rolehost_webhooks.actors.fan_out import fan_out
from rolehost_webhooks.domain.applications import create as create_application
from rolehost_webhooks.domain.endpoints import within as endpoint_within
from rolehost_webhooks.errors import Conflict, Impossible, NotFound, Rejected
from rolehost_webhooks.models import Endpoint, Message, Trigger
from rolehost_webhooks.repositories import applications, cached, deliveries, messages
from rolehost_webhooks.repositories.ordering import next_id
from rolehost_webhooks.schemas.common import milliseconds
from rolehost_webhooks.schemas.messages import MessageIn

HOUR = 3_600_000
DAY = 24 * HOUR
MINUTE = 60_000

#: How long an eventId must be unique, in milliseconds.
EVENT_ID_UNIQUE = DAY


def get(app_reference: str, reference: str) -> Message:
    """Return the message of this id or eventId in the application of that id or uid.

    Raises:
        NotFound: one of them does not exist.
    """
    app_id = applications.find_id(rules.reference(app_reference, "Application"))
    if app_id is None:
        raise NotFound("Application")
    return within(app_id, reference)


def within(app_id: str, reference: str) -> Message:
    """Return the message of this id or eventId in an application.

    Raises:
        NotFound: it does not exist.
    """
    message = messages.find(app_id, rules.reference(reference, "Message"))
    if message is None:
        raise NotFound("Message")
    return message


def create(services: Services, app_reference: str, body: MessageIn) -> Message:
    """Create a message; it is durable when the unit of work commits.

    Raises:
        NotFound: the application does not exist, and the message does not define one.
        Conflict: a message of the last day has the same eventId.
        Rejected: a value is invalid.
    """
    message = create_if_new(services, app_reference, body)
    if message is None:
        raise Conflict(f"A message with the eventId {body.event_id!r} already exists")
    return message


def create_if_new(services: Services, app_reference: str, body: MessageIn) -> Message | None:
    """Create a message like :func:`create`; return None if its eventId is in use.

    A duplicate does not raise, because an exception would roll back the caller's unit of work.
    """
    payload, content_type = check_payload(body)
    now = services.clock.now()
    message = Message(
        event_id=body.event_id,
        superseded=0,
        event_type=body.event_type,
        channels=body.channels,
        tags=body.tags,
        payload=payload,
        content_type=content_type,
        payload_expires_at=check_expiry(body, now),
        deliver_at=check_start(body, now),
        created_at=now,
    )
    delay = None if message.deliver_at is None else (message.deliver_at - now) / 1000
    with services.unit_of_work() as work:
        known = cached.application_id(services, _check_reference(app_reference, body))
        message.app_id = known or _application_id(services, app_reference, body)
        message.id = next_id(Message, ids.MESSAGE, services)
        if not _insert(services, message, app_reference, body):
            return None
        # Messages that start later have no place in the order of those that start at once.
        ordered = delay is None and cached.keeps_order(services, message.app_id)
        key = f"webhooks.fan_out {message.app_id}" if ordered else None
        work.enqueue(fan_out, message_id=message.id, delay=delay, key=key)
    return message


def _check_reference(reference: str, body: MessageIn) -> str:
    """Return the reference if it is a valid id or uid.

    Raises:
        NotFound: it is invalid, and the message does not define an application.
        Rejected: it is invalid.
    """
    if body.application is None:
        return rules.reference(reference, "Application")
    rules.check_name(reference, ("path", "app_id"))
    return reference


def _application_id(services: Services, reference: str, body: MessageIn) -> str:
    """Return the id of the application; create the application that the message defines."""
    found = applications.find_id(reference)
    if found is not None:
        return found
    if body.application is None:
        raise NotFound("Application")
    where = ("body", "application", "uid")
    if body.application.uid is None:
        raise Rejected(where, "the uid of the path is needed here too", "application_uid_missing")
    if body.application.uid != reference:
        raise Rejected(where, "must be the uid of the path", "application_uid_mismatch")
    # Another message may create it at the same time.
    return create_application(services, body.application, get_if_exists=True)[0].id


def _insert(services: Services, message: Message, reference: str, body: MessageIn) -> bool:
    """Insert the row, unless a message of the last day has the same eventId."""
    if messages.insert_for(message, reference):
        return True
    current = _application_id(services, reference, body)
    if current != message.app_id:
        # The cached id may be stale.
        cached.forget_application(services, reference)
        message.app_id = current
    return messages.insert(message) or _reuse_event_id(message)


def _reuse_event_id(message: Message) -> bool:
    """Insert the row if its eventId was last used more than a day ago."""
    event_id = message.event_id or ""
    freed = messages.supersede(message.app_id, event_id, message.created_at - EVENT_ID_UNIQUE)
    return freed and messages.insert(message)


def check_payload(body: MessageIn) -> tuple[bytes, str | None]:
    """Return the bytes to send, and the media type if the payload is raw.

    Raises:
        Rejected: the payload is not a JSON object, or not UTF-8.
    """
    params = body.transformations_params
    if params is not None and params.raw_payload is not None:
        given = {name.lower(): value for name, value in (params.headers or {}).items()}
        content_type = given.get("content-type", JSON)
        rules.check_media_type(content_type, ("body", "transformationsParams", "headers"))
        raw = params.raw_payload.encode()
        rules.check_payload(raw)
        return raw, content_type
    payload = bytes(body.payload)
    rules.check_payload(payload)
    if not payload.startswith(b"{"):
        raise Rejected(("body", "payload"), "Payload must be an object.")
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise Rejected(("body", "payload"), f"not UTF-8: {error.reason}") from None
    return payload, None


def check_expiry(body: MessageIn, now: int) -> int | None:
    """Return when the payload expires in Unix milliseconds, or None for the retention period.

    Raises:
        Rejected: both units are given.
    """
    days, hours = body.payload_retention_period, body.payload_retention_hours
    if days is not None and hours is not None:
        raise Rejected(("body", "payloadRetentionHours"), "give days or hours, not both")
    if days is None and hours is None:
        return None
    return now + (days or 0) * DAY + (hours or 0) * HOUR


def check_start(body: MessageIn, now: int) -> int | None:
    """Return when delivery starts in Unix milliseconds, or None to start at once.

    Raises:
        Rejected: the time is not between a minute and a day ahead.
    """
    start = milliseconds(body.deliver_at)
    if start is not None and not now + MINUTE <= start <= now + DAY:
        raise Rejected(("body", "deliverAt"), "must be one minute to 24 hours ahead")
    return start


def expunge(services: Services, app_reference: str, reference: str) -> None:
    """Remove the payload of a message; its pending deliveries are cancelled.

    Raises:
        NotFound: application or message do not exist.
    """
    with services.unit_of_work():
        messages.expunge(get(app_reference, reference))


def resend(services: Services, app_reference: str, reference: str, endpoint: str) -> None:
    """Make one more attempt to send a message to an endpoint, whatever the delivery's status.

    The retry schedule of the delivery, if it has one, does not change.

    Raises:
        NotFound: application, message or endpoint do not exist.
        Impossible: the payload was removed.
    """
    with services.unit_of_work() as work:
        message = get(app_reference, reference)
        receiver: Endpoint = endpoint_within(message.app_id, endpoint)
        if message.payload is None:
            raise Impossible("the payload of the message was removed", "missing_payload")
        send_once(services, work, message.id, receiver.id)


def send_once(services: Services, work: UnitOfWork, message_id: str, endpoint_id: str) -> None:
    """Enqueue one manual attempt outside the retry schedule."""
    deliveries.insert_attempt(message_id, endpoint_id, services.clock.now())
    work.enqueue(
        deliver,
        message_id=message_id,
        endpoint_id=endpoint_id,
        trigger=int(Trigger.MANUAL),
        once=True,
    )
