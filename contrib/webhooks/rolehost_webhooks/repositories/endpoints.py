"""Endpoints."""

from __future__ import annotations

from typing import Any

from rolehost.api import Services

from rolehost_webhooks import ids
from rolehost_webhooks.models import Endpoint
from rolehost_webhooks.repositories.applications import renew_revision
from rolehost_webhooks.repositories.compiled import Compiled, given
from rolehost_webhooks.repositories.paging import Cursor, Page, by_id, lock_rows, page


def find(app_id: str, reference: str, *, lock: bool = False) -> Endpoint | None:
    """Return the endpoint of this id or uid in an application, unless it was deleted.

    Args:
        lock: lock the row, to change it.
    """
    if reference.startswith(ids.ENDPOINT):
        matches = (Endpoint.id == reference) & (Endpoint.app_id == app_id)
    else:
        matches = (Endpoint.app_id == app_id) & (Endpoint.uid == reference)
    select = Endpoint.select().where(matches & Endpoint.deleted_at.is_null())
    return (lock_rows(select) if lock else select).get_or_none()


def enabled(app_id: str) -> list[tuple[Any, ...]]:
    """Return id, event types, channels and order of an application's enabled endpoints, by id."""
    return _ENABLED.rows(app_id=app_id)


_ENABLED = Compiled(
    Endpoint,
    lambda: (
        Endpoint.select(Endpoint.id, Endpoint.event_types, Endpoint.channels, Endpoint.fifo)
        .where(
            Endpoint.app_id == given("app_id"), Endpoint.deleted_at.is_null(), ~Endpoint.disabled
        )
        .order_by(Endpoint.id)
    ),
)


def has_fifo(app_id: str) -> bool:
    """Return whether an endpoint of an application gets messages in their order."""
    chosen = (Endpoint.app_id == app_id) & Endpoint.deleted_at.is_null() & Endpoint.fifo
    return bool(Endpoint.select().where(chosen).exists())


def insert(endpoint: Endpoint, services: Services) -> bool:
    """Insert an endpoint; if its uid is taken, do not insert it and return False."""
    renew_revision(endpoint.app_id, services)
    statement = Endpoint.insert(endpoint.__data__).on_conflict_ignore()
    return bool(statement.as_rowcount().execute())


def listing(app_id: str, cursor: Cursor) -> Page[Endpoint]:
    """Return a page of an application's endpoints, by id."""
    select = Endpoint.select().where(Endpoint.app_id == app_id, Endpoint.deleted_at.is_null())
    return page(select, Endpoint.id, cursor, by_id)


def delete(endpoint: Endpoint, services: Services) -> None:
    """Mark an endpoint as deleted and free its uid; listings by message still have its attempts."""
    renew_revision(endpoint.app_id, services)
    now = services.clock.now()
    Endpoint.update(deleted_at=now, uid=None).where(Endpoint.id == endpoint.id).execute()


def disable(app_id: str, endpoint_id: str, services: Services) -> None:
    """Stop sending to an endpoint until it is enabled again."""
    renew_revision(app_id, services)
    now = services.clock.now()
    Endpoint.update(disabled=True, updated_at=now).where(Endpoint.id == endpoint_id).execute()


def set_failing(
    app_id: str, endpoint_id: str, since: int | None, services: Services
) -> Endpoint | None:
    """Let an endpoint fail since a time (milliseconds), or recover (None).

    Returns:
        The endpoint, or None if nothing has changed.
    """
    renew_revision(app_id, services)
    changes = Endpoint.failing_since.is_null(since is not None)
    update = Endpoint.update(failing_since=since).where((Endpoint.id == endpoint_id) & changes)
    return Endpoint.get_by_id(endpoint_id) if update.execute() else None
