"""Attempts."""

from __future__ import annotations

from typing import Any

from rolehost_webhooks import ids
from rolehost_webhooks.models import Attempt, Message, Status
from rolehost_webhooks.repositories.compiled import Compiled, given
from rolehost_webhooks.repositories.messages import Filter, columns, narrow
from rolehost_webhooks.repositories.paging import Cursor, Page, by_id, page

_NO_VALUES = dict.fromkeys(Attempt._meta.fields)
_INSERT = Compiled(Attempt, lambda: Attempt.insert({name: given(name) for name in _NO_VALUES}))

#: Placeholder for a response that was removed.
EXPUNGED = "EXPUNGED"


def insert(attempt: Attempt) -> None:
    """Insert an attempt."""
    _INSERT.execute(**{**_NO_VALUES, **attempt.__data__})


def find(message_id: str, attempt_id: str) -> Attempt | None:
    """Return an attempt at a message."""
    return Attempt.get_or_none(Attempt.id == attempt_id, Attempt.message_id == message_id)


def have_failed(endpoint_id: str, count: int) -> bool:
    """Return whether the last attempts at an endpoint, so many of them, have all failed."""
    found = _LAST.rows(endpoint_id=endpoint_id, count=count)
    return len(found) == count and all(status == Status.FAIL for (status,) in found)


_LAST = Compiled(
    Attempt,
    lambda: (
        Attempt.select(Attempt.status)
        .where(Attempt.endpoint_id == given("endpoint_id"))
        .order_by(Attempt.id.desc())
        .limit(given("count"))
    ),
)


def listing(
    cursor: Cursor,
    wanted: Filter,
    *,
    message_id: str | None = None,
    endpoint_id: str | None = None,
    status: int | None = None,
    status_class: int | None = None,
    with_content: bool = False,
) -> Page[Attempt]:
    """Return a page of attempts, by id; each row has its ``message``.

    Args:
        status: only attempts with this status.
        status_class: only responses of this class: 200 is 200 to 299, 0 is no response.
        with_content: whether to read the payloads of the messages.
    """
    select: Any = Attempt.select(Attempt, *columns(with_content=with_content)).join(
        Message, on=(Attempt.message_id == Message.id), attr="message"
    )
    if message_id is not None:
        select = select.where(Attempt.message_id == message_id)
    if endpoint_id is not None:
        select = select.where(Attempt.endpoint_id == endpoint_id)
    if status is not None:
        select = select.where(Attempt.status == status)
    if status_class is not None:
        select = select.where(Attempt.response_status.between(status_class, status_class + 99))
    select = narrow(select, wanted)
    if wanted.before is not None:
        select = select.where(Attempt.id < ids.first_at(ids.ATTEMPT, wanted.before))
    if wanted.after is not None:
        select = select.where(Attempt.id > ids.first_at(ids.ATTEMPT, wanted.after))
    return page(select, Attempt.id, cursor, by_id)


def expunge(attempt: Attempt) -> None:
    """Permanently remove the recorded response of an attempt."""
    Attempt.update(response=EXPUNGED).where(Attempt.id == attempt.id).execute()
