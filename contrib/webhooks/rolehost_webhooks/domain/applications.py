"""Applications: create, find, change, delete."""

from __future__ import annotations

import msgspec
from rolehost.api import Services

from rolehost_webhooks import ids, rules
from rolehost_webhooks.domain.changes import save, sent_fields
from rolehost_webhooks.errors import Conflict, NotFound
from rolehost_webhooks.models import Application
from rolehost_webhooks.repositories import applications
from rolehost_webhooks.repositories.ordering import next_id
from rolehost_webhooks.schemas.applications import ApplicationIn, ApplicationPatch

#: Maximum number of attempts to create an application while conflicting rows disappear.
TRIES = 3


def get(reference: str, *, lock: bool = False) -> Application:
    """Return the application of this id or uid.

    Args:
        lock: lock the row, to change it within the unit of work.

    Raises:
        NotFound: it does not exist.
    """
    application = applications.find(rules.reference(reference, "Application"), lock=lock)
    if application is None:
        raise NotFound("Application")
    return application


def create(
    services: Services, body: ApplicationIn, *, get_if_exists: bool = False
) -> tuple[Application, bool]:
    """Create an application; return it, and whether it is new.

    Args:
        get_if_exists: if the uid is taken, return its application instead of an error.

    Raises:
        Conflict: the uid is taken.
        Rejected: the uid looks like an id.
    """
    rules.check_uid(body.uid, ids.APPLICATION)
    rules.check_metadata(body.metadata)
    now = services.clock.now()
    application = Application(
        uid=body.uid,
        name=body.name,
        throttle_rate=body.throttle_rate,
        metadata=body.metadata or {},
        created_at=now,
        updated_at=now,
    )
    with services.unit_of_work():
        application.id = next_id(Application, ids.APPLICATION, services)
        for _ in range(TRIES):
            if applications.insert(application):
                return application, True
            existing = applications.find(body.uid or "")
            if existing is not None and get_if_exists:
                return existing, False
            if existing is not None:
                break
    raise Conflict(f"An application with the uid {body.uid!r} already exists")


def put(services: Services, reference: str, body: ApplicationIn) -> tuple[Application, bool]:
    """Replace an application, or create it with the reference as its uid.

    Returns:
        The application, and whether it is new.

    Raises:
        NotFound: the reference is an id that does not exist.
        Conflict: the uid is taken.
        Rejected: the uid looks like an id.
    """
    rules.check_name(reference, ("path", "app_id"))
    rules.check_uid(body.uid, ids.APPLICATION)
    rules.check_metadata(body.metadata)
    with services.unit_of_work():
        application = applications.find(reference, lock=True)
        if application is None:
            if reference.startswith(ids.APPLICATION):
                raise NotFound("Application")
            wanted = msgspec.structs.replace(body, uid=body.uid or reference)
            # If two calls create it at the same time, the second call replaces it.
            application, created = create(services, wanted, get_if_exists=wanted.uid == reference)
            if created:
                return application, True
            application = get(application.id, lock=True)
        values = sent_fields(body) | {"metadata": body.metadata or {}}
        save(services, application, values)
    return application, False


def patch(services: Services, reference: str, body: ApplicationPatch) -> Application:
    """Change the given fields of an application.

    Raises:
        NotFound: it does not exist.
        Conflict: the uid is taken.
        Rejected: the uid looks like an id.
    """
    values = sent_fields(body)
    rules.check_uid(values.get("uid"), ids.APPLICATION)
    rules.check_metadata(values.get("metadata"))
    with services.unit_of_work():
        application = get(reference, lock=True)
        save(services, application, values)
    return application


def delete(services: Services, reference: str) -> None:
    """Delete an application with its endpoints; retention removes its messages.

    Raises:
        NotFound: it does not exist.
    """
    with services.unit_of_work():
        applications.delete(get(reference, lock=True), services)
