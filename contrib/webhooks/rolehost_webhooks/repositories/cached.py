"""Data that every message and delivery reads, cached if the deployment has a cache.

Stale values are never used. The cache key contains the application's ``revision``: each change
of an endpoint renews it in the same transaction, and it is read from the database together with
the message. If an application was found by uid in the cache, the statement that inserts the
message checks it again. See docs/decisions/0041.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct
from rolehost.api import Services, UnitOfWork

from rolehost_webhooks.models import Delivery, Endpoint
from rolehost_webhooks.repositories import applications, deliveries, endpoints
from rolehost_webhooks.settings import DeliverySettings

T = TypeVar("T")

#: Time to live of a cached value in seconds. It limits the cache's size only.
TTL = 3600.0

#: Seconds for which it is known whether an application has an endpoint that wants order.
ORDER_TTL = 60.0


class Recipient(Struct, frozen=True):
    """An enabled endpoint, its filters, and whether it gets messages in their order."""

    id: str
    event_types: list[str] | None
    channels: list[str] | None
    fifo: bool = False

    def accepts(self, event_type: str, channels: list[str] | None) -> bool:
        """Return whether messages of this type and these channels are sent to the endpoint."""
        if self.event_types and event_type not in self.event_types:
            return False
        return not self.channels or bool(set(self.channels) & set(channels or ()))


class Target(Struct, frozen=True):
    """The endpoint data for a delivery. It holds secrets, which its ``repr`` does not show."""

    app_id: str
    url: str
    headers: dict[str, str]
    disabled: bool
    deleted: bool
    secret: str
    old_secrets: list[dict[str, Any]]
    failing_since: int | None = None

    @classmethod
    def of(cls, endpoint: Endpoint) -> Target:
        """Return the target that an endpoint's row describes."""
        return cls(
            app_id=endpoint.app_id,
            url=endpoint.url,
            headers=endpoint.headers,
            disabled=bool(endpoint.disabled),
            deleted=endpoint.deleted_at is not None,
            secret=endpoint.secret,
            old_secrets=endpoint.old_secrets,
            failing_since=endpoint.failing_since,
        )

    def __repr__(self) -> str:
        """Name the application only."""
        return f"<target of {self.app_id}>"

    def signing_secrets(self, now: int) -> list[str]:
        """Return the secrets that sign at this time (milliseconds), the newest first."""
        return [self.secret, *[old["key"] for old in self.old_secrets if old["expiresAt"] > now]]


def application_id(services: Services, reference: str) -> str | None:
    """Return the id of the application with this id or uid, possibly from the cache, or None.

    The application may have been deleted or renamed: :func:`.messages.insert_for` checks that.
    """
    if "cache" not in services.backends:
        return applications.find_id(reference)
    known = services.caching("webhooks.applications", str | None, ttl=TTL, none_ttl=0)
    return known.get_or_compute(reference, lambda: applications.find_id(reference))


def forget_application(services: Services, reference: str) -> None:
    """Remove an id or uid from the cache."""
    if "cache" in services.backends:
        services.caching("webhooks.applications", str | None, ttl=TTL, none_ttl=0).delete(reference)


def keeps_order(services: Services, app_id: str) -> bool:
    """Return whether an endpoint of an application gets messages in their order.

    The answer may be a minute old in another process than the one that changed the endpoint.
    """
    if "cache" not in services.backends:
        return endpoints.has_fifo(app_id)
    known = services.caching("webhooks.order", bool, ttl=ORDER_TTL)
    return known.get_or_compute(app_id, lambda: endpoints.has_fifo(app_id))


def forget_order(services: Services, work: UnitOfWork, app_id: str) -> None:
    """Remove the answer of :func:`keeps_order` from the cache after the commit."""
    if "cache" in services.backends:
        known = services.caching("webhooks.order", bool, ttl=ORDER_TTL)
        work.after_commit(lambda: known.delete(app_id))


def recipients(services: Services, app_id: str, revision: int) -> list[Recipient]:
    """Return the enabled endpoints of an application, by id.

    Args:
        revision: the application's revision, read before this call.
    """

    def read() -> list[Recipient]:
        return [Recipient(*each, bool(fifo)) for *each, fifo in endpoints.enabled(app_id)]

    return _cached(services, "webhooks.recipients", list[Recipient], f"{app_id}:{revision}", read)


def delivery(
    services: Services, message_id: str, endpoint_id: str
) -> tuple[Delivery, Target] | None:
    """Return a delivery with its ``message``, and its endpoint, even if that is deleted."""
    if not _may_hold_secrets(services):
        both = deliveries.with_message_and_endpoint(message_id, endpoint_id)
        return None if both is None else (both, Target.of(both.endpoint))
    found = deliveries.with_message(message_id, endpoint_id)
    if found is None:
        return None

    def read() -> Target:
        return Target.of(Endpoint.get_by_id(endpoint_id))

    key = f"{endpoint_id}:{found.application.revision}"
    return found, _cached(services, "webhooks.targets", Target, key, read)


def _may_hold_secrets(services: Services) -> bool:
    """Return whether the cache is in this process, or the settings allow secrets in it."""
    if "cache" not in services.backends:
        return False
    settings: DeliverySettings = services.settings("webhooks-delivery")
    return settings.cache_secrets or "shared" not in services.cache.capabilities


def _cached(services: Services, namespace: str, kind: Any, key: str, read: Callable[[], T]) -> T:
    if "cache" not in services.backends:
        return read()
    values = services.caching(namespace, kind, ttl=TTL)
    value: T = values.get_or_compute(key, read)
    return value
