"""Batch functions for data loaders; each runs one SQL statement for all its keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import peewee
from rolehost_graphql import Refused

from rolehost_webhooks import models
from rolehost_webhooks.graphql.paging import Wanted, pages
from rolehost_webhooks.models import Status
from rolehost_webhooks.repositories.messages import columns
from rolehost_webhooks.repositories.paging import PAGE_BYTES, Page


def _by_id(model: Any, keys: Sequence[str], *selected: Any) -> list[Any]:
    """Return rows by id, in the order of the keys; None for missing rows."""
    found = {row.id: row for row in model.select(*selected).where(model.id.in_(list(keys)))}
    return [found.get(key) for key in keys]


def applications(keys: list[str]) -> Sequence[models.Application | None]:
    """Return applications, including deleted ones."""
    return _by_id(models.Application, keys)


def endpoints(keys: list[str]) -> Sequence[models.Endpoint | None]:
    """Return endpoints, including deleted ones."""
    return _by_id(models.Endpoint, keys)


def messages(keys: list[str]) -> Sequence[models.Message | None]:
    """Return messages without payloads, because payloads are large and often not selected."""
    return _by_id(models.Message, keys, *columns(with_content=False))


def contents(keys: list[str]) -> Sequence[models.Message | Refused | None]:
    """Return the contents of messages: payload and media type.

    If the size limit of one answer is reached, the other messages get an error and their
    payloads are not read.
    """
    message = models.Message
    size = peewee.fn.COALESCE(peewee.fn.LENGTH(message.payload), 0)
    inner = message.select(
        message.id.alias("at"),
        (peewee.fn.SUM(size).over(order_by=[message.id]) - size).alias("before"),
    ).where(message.id.in_(keys))
    fits = inner.c.before < PAGE_BYTES
    rows = (
        message.select(
            message.id,
            message.content_type,
            peewee.Case(None, [(fits, message.payload)]).alias("payload"),
            fits.alias("fits"),
        )
        .join_from(message, inner, on=(message.id == inner.c.at))
        .objects()
    )
    refused = Refused(f"the payloads have more than {PAGE_BYTES} bytes; ask for fewer messages")
    found = {row.id: row if row.fits else refused for row in rows}
    return [found.get(key) for key in keys]


def endpoints_of(wanted: list[Wanted]) -> Sequence[Page[models.Endpoint]]:
    """Return pages of the endpoints of applications, the oldest first."""
    endpoint = models.Endpoint
    select = endpoint.select().where(endpoint.deleted_at.is_null())
    return pages(wanted, select, endpoint.app_id, endpoint.id)


def messages_of(wanted: list[Wanted]) -> Sequence[Page[models.Message]]:
    """Return pages of the messages of applications, the newest first, without payloads."""
    message = models.Message
    select = message.select(*columns(with_content=False))
    return pages(wanted, select, message.app_id, message.id, descending=True)


def attempts_by_message(wanted: list[Wanted]) -> Sequence[Page[models.Attempt]]:
    """Return pages of the attempts at messages, the newest first."""
    attempt = models.Attempt
    return pages(wanted, attempt.select(), attempt.message_id, attempt.id, descending=True)


def attempts_by_endpoint(wanted: list[Wanted]) -> Sequence[Page[models.Attempt]]:
    """Return pages of the attempts at endpoints, the newest first."""
    attempt = models.Attempt
    return pages(wanted, attempt.select(), attempt.endpoint_id, attempt.id, descending=True)


def deliveries_by_message(wanted: list[Wanted]) -> Sequence[Page[models.Delivery]]:
    """Return pages of the deliveries of messages, ordered by endpoint."""
    delivery = models.Delivery
    return pages(wanted, delivery.select(), delivery.message_id, delivery.endpoint_id)


def deliveries_by_endpoint(wanted: list[Wanted]) -> Sequence[Page[models.Delivery]]:
    """Return pages of the deliveries to endpoints, the newest first."""
    delivery = models.Delivery
    select = delivery.select()
    return pages(wanted, select, delivery.endpoint_id, delivery.message_id, descending=True)


class Period(NamedTuple):
    """An endpoint, and a period as the ids of the first and the last message in it."""

    endpoint: str
    first: str
    last: str


def stats(wanted: list[Period]) -> Sequence[dict[Status, int]]:
    """Count deliveries by status, with one statement for all endpoints of one period."""
    delivery = models.Delivery
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in wanted:
        alike[each.first, each.last].append(each.endpoint)
    found: dict[Period, dict[Status, int]] = {each: {} for each in wanted}
    for (first, last), ids in alike.items():
        select: Any = (
            delivery.select(
                delivery.endpoint_id, delivery.status, peewee.fn.COUNT(delivery.message_id)
            )
            .where(delivery.endpoint_id.in_(ids), delivery.message_id.between(first, last))
            .group_by(delivery.endpoint_id, delivery.status)
        )
        for endpoint, status, count in select.tuples():
            found[Period(endpoint, first, last)][Status(status)] = count
    return [found[each] for each in wanted]
