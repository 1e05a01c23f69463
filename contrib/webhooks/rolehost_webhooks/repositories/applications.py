"""Applications."""

from __future__ import annotations

import peewee
from rolehost.api import Services

from rolehost_webhooks import ids
from rolehost_webhooks.models import Application, Endpoint
from rolehost_webhooks.repositories.compiled import Compiled, given
from rolehost_webhooks.repositories.paging import Cursor, Page, by_id, lock_rows, page


def find(reference: str, *, lock: bool = False) -> Application | None:
    """Return the application of this id or uid, unless it was deleted.

    Args:
        lock: lock the row, to change it.
    """
    select = Application.select().where(_matches(reference))
    return (lock_rows(select) if lock else select).get_or_none()


def find_id(reference: str) -> str | None:
    """Return the id of the application of this id or uid, unless it was deleted."""
    statement = _ID_OF_ID if reference.startswith(ids.APPLICATION) else _ID_OF_UID
    found: list[tuple[str]] = statement.rows(reference=reference)
    return found[0][0] if found else None


def _id_by(column: peewee.Field) -> Compiled:
    return Compiled(
        Application,
        lambda: Application.select(Application.id).where(
            column == given("reference"), Application.deleted_at.is_null()
        ),
    )


_ID_OF_ID, _ID_OF_UID = _id_by(Application.id), _id_by(Application.uid)


def _matches(reference: str) -> peewee.Expression:
    column = Application.id if reference.startswith(ids.APPLICATION) else Application.uid
    return (column == reference) & Application.deleted_at.is_null()


def insert(application: Application) -> bool:
    """Insert an application; if its uid is taken, write nothing and return False."""
    statement = Application.insert(application.__data__).on_conflict_ignore()
    return bool(statement.as_rowcount().execute())


def listing(cursor: Cursor, *, without_empty: bool = False) -> Page[Application]:
    """Return a page of applications, by id.

    Args:
        without_empty: leave out applications without endpoints.
    """
    select = Application.select().where(Application.deleted_at.is_null())
    if without_empty:
        owners = Endpoint.select(Endpoint.app_id).where(Endpoint.deleted_at.is_null())
        select = select.where(Application.id.in_(owners))
    return page(select, Application.id, cursor, by_id)


def renew_revision(app_id: str, services: Services) -> None:
    """Invalidate everything that is cached about an application's endpoints.

    Call it in the transaction of each endpoint change, before the endpoint's row is locked. All
    transactions lock the application first, so they cannot deadlock.
    """
    revision = services.random.getrandbits(62)
    Application.update(revision=revision).where(Application.id == app_id).execute()


def delete(application: Application, services: Services) -> None:
    """Mark an application and its endpoints as deleted and free their uids."""
    renew_revision(application.id, services)
    gone = {"deleted_at": services.clock.now(), "uid": None}
    Application.update(gone).where(Application.id == application.id).execute()
    Endpoint.update(gone).where(
        Endpoint.app_id == application.id, Endpoint.deleted_at.is_null()
    ).execute()
