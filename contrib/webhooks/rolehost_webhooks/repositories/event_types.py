"""Event types."""

from __future__ import annotations

from rolehost_webhooks.models import EventType
from rolehost_webhooks.repositories.paging import Cursor, Page, lock_rows, page


def find(name: str, *, lock: bool = False) -> EventType | None:
    """Return the event type of this name, archived or not.

    Args:
        lock: lock the row, to change it.
    """
    select = EventType.select().where(EventType.name == name)
    return (lock_rows(select) if lock else select).get_or_none()


def insert(event_type: EventType) -> bool:
    """Insert an event type; if its name is taken, write nothing and return False."""
    statement = EventType.insert(event_type.__data__).on_conflict_ignore()
    return bool(statement.as_rowcount().execute())


def listing(cursor: Cursor, *, archived: bool) -> Page[EventType]:
    """Return a page of event types, by name; ``archived`` includes the archived ones."""
    select = EventType.select()
    if not archived:
        select = select.where(~EventType.archived)
    return page(select, EventType.name, cursor, lambda row: str(row.name))


def delete(event_type: EventType) -> None:
    """Permanently remove an event type."""
    EventType.delete().where(EventType.name == event_type.name).execute()
