"""Endpoints: create, find, change, delete; secrets and headers."""

from __future__ import annotations

from typing import Any

from rolehost.api import Services

from rolehost_webhooks import ids, rules, signing
from rolehost_webhooks.actors.breaker import DELIVER, limits
from rolehost_webhooks.domain import applications
from rolehost_webhooks.domain.changes import save, sent_fields
from rolehost_webhooks.errors import Conflict, Impossible, NotFound, Rejected
from rolehost_webhooks.models import Endpoint
from rolehost_webhooks.repositories import cached, endpoints
from rolehost_webhooks.repositories.applications import renew_revision
from rolehost_webhooks.repositories.ordering import next_id
from rolehost_webhooks.schemas.endpoints import (
    MAX_HEADERS,
    EndpointIn,
    EndpointPatch,
    EndpointPut,
    HeadersPatch,
    SecretRotateIn,
)

#: Maximum number of old secrets that sign; a further rotation is refused until one expires.
OLD_SECRETS = 10

#: Location of the headers in a body.
HEADERS = ("body", "headers")

#: Headers whose values are never shown again.
SENSITIVE = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authenticate",
        "proxy-authorization",
        "www-authenticate",
        "x-api-key",
        "x-auth-token",
    }
)


def get(app_reference: str, reference: str, *, lock: bool = False) -> Endpoint:
    """Return the endpoint of this id or uid in the application of that id or uid.

    Args:
        lock: lock the rows of both, to change the endpoint within the unit of work.

    Raises:
        NotFound: one of them does not exist.
    """
    return within(applications.get(app_reference, lock=lock).id, reference, lock=lock)


def within(app_id: str, reference: str, *, lock: bool = False) -> Endpoint:
    """Return the endpoint of this id or uid in an application.

    Raises:
        NotFound: it does not exist.
    """
    endpoint = endpoints.find(app_id, rules.reference(reference, "Endpoint"), lock=lock)
    if endpoint is None:
        raise NotFound("Endpoint")
    return endpoint


def create(services: Services, app_reference: str, body: EndpointIn) -> Endpoint:
    """Create an endpoint; generate its secret if none is given.

    Raises:
        NotFound: the application does not exist.
        Conflict: the uid is taken.
        Rejected: URL, uid, secret or headers are invalid.
    """
    _check_fields(body)
    rules.check_headers(body.headers or {}, HEADERS)
    secret = check_secret(body.secret, "secret")
    now = services.clock.now()
    with services.unit_of_work() as work:
        endpoint = Endpoint(
            app_id=applications.get(app_reference, lock=True).id,
            id=next_id(Endpoint, ids.ENDPOINT, services),
            uid=body.uid,
            url=body.url,
            description=body.description or "",
            throttle_rate=body.throttle_rate,
            version=body.version or 1,
            event_types=body.event_types,
            channels=body.channels,
            headers=body.headers or {},
            metadata=body.metadata or {},
            disabled=bool(body.disabled),
            fifo=bool(body.fifo),
            secret=secret,
            old_secrets=[],
            created_at=now,
            updated_at=now,
        )
        if not endpoints.insert(endpoint, services):
            raise Conflict(f"An endpoint with the uid {body.uid!r} already exists")
        if body.throttle_rate is not None:
            work.limit_partition(DELIVER, endpoint.id, limits(body.throttle_rate, failing=False))
        if endpoint.fifo:
            cached.forget_order(services, work, endpoint.app_id)
    return endpoint


def put(
    services: Services, app_reference: str, reference: str, body: EndpointPut
) -> tuple[Endpoint, bool]:
    """Replace an endpoint, or create it with the reference as its uid.

    Returns:
        The endpoint, and whether it is new.

    Raises:
        NotFound: the application does not exist, or the reference is an id without an endpoint.
        Conflict: the uid is taken.
        Rejected: URL or uid are invalid.
    """
    _check_fields(body)
    rules.check_name(reference, ("path", "endpoint_id"))
    with services.unit_of_work():
        # Locks the application's row, so that concurrent calls create the endpoint only once.
        application = applications.get(app_reference, lock=True)
        endpoint = endpoints.find(application.id, reference, lock=True)
        if endpoint is None:
            if reference.startswith(ids.ENDPOINT):
                raise NotFound("Endpoint")
            wanted = EndpointIn(**sent_fields(body) | {"uid": body.uid or reference})
            return create(services, application.id, wanted), True
        values = sent_fields(body) | {
            "description": body.description or "",
            "disabled": bool(body.disabled),
            "fifo": bool(body.fifo),
            "metadata": body.metadata or {},
            "version": body.version or 1,
        }
        _save(services, endpoint, values)
    return endpoint, False


def patch(services: Services, app_reference: str, reference: str, body: EndpointPatch) -> Endpoint:
    """Change the given fields of an endpoint.

    Raises:
        NotFound: application or endpoint do not exist.
        Conflict: the uid is taken.
        Rejected: URL, uid or secret are invalid.
    """
    values = sent_fields(body)
    secret = values.pop("secret", None)
    if secret is not None:
        values["secret"] = check_secret(secret, "secret")
    if "url" in values:
        rules.check_url(values["url"])
    rules.check_uid(values.get("uid"), ids.ENDPOINT)
    rules.check_metadata(values.get("metadata"))
    with services.unit_of_work():
        endpoint = get(app_reference, reference, lock=True)
        _save(services, endpoint, values)
    return endpoint


def delete(services: Services, app_reference: str, reference: str) -> None:
    """Delete an endpoint; its pending deliveries are cancelled when they become due.

    Raises:
        NotFound: application or endpoint do not exist.
    """
    with services.unit_of_work() as work:
        endpoint = get(app_reference, reference, lock=True)
        work.limit_partition(DELIVER, endpoint.id, None)
        endpoints.delete(endpoint, services)


def rotate_secret(
    services: Services, app_reference: str, reference: str, body: SecretRotateIn
) -> str:
    """Set a new secret and return it; the old one also signs until its grace period ends.

    Raises:
        NotFound: application or endpoint do not exist.
        Rejected: the given secret is invalid.
        Impossible: the maximum number of old secrets still sign.
    """
    secret = check_secret(body.key, "key")
    now = services.clock.now()
    with services.unit_of_work():
        endpoint = get(app_reference, reference, lock=True)
        old = {"key": endpoint.secret, "expiresAt": now + body.grace_period_seconds * 1000}
        kept = [one for one in (old, *endpoint.old_secrets) if one["expiresAt"] > now]
        if len(kept) > OLD_SECRETS:
            raise Impossible(
                f"{OLD_SECRETS} older secrets still sign; wait until one of them has expired",
                "limit_reached",
            )
        _save(services, endpoint, {"secret": secret, "old_secrets": kept})
    return secret


def set_headers(
    services: Services, app_reference: str, reference: str, headers: dict[str, str]
) -> None:
    """Replace the headers that are added to each request.

    Raises:
        NotFound: application or endpoint do not exist.
        Rejected: a name or value cannot be sent, or the delivery sets this header itself.
    """
    rules.check_headers(headers, HEADERS)
    with services.unit_of_work():
        _save(services, get(app_reference, reference, lock=True), {"headers": headers})


def patch_headers(
    services: Services, app_reference: str, reference: str, body: HeadersPatch
) -> None:
    """Add, replace and remove some of the headers that are added to each request.

    Raises:
        NotFound: application or endpoint do not exist.
        Rejected: a name or value cannot be sent, or the delivery sets this header itself.
    """
    added = {name: value for name, value in body.headers.items() if value is not None}
    rules.check_headers(added, HEADERS)
    replaced = {name.lower() for name in (*body.headers, *(body.delete_headers or ()))}
    with services.unit_of_work():
        endpoint = get(app_reference, reference, lock=True)
        kept = {n: v for n, v in endpoint.headers.items() if n.lower() not in replaced}
        changed = kept | added
        if len(changed) > MAX_HEADERS:
            raise Rejected(HEADERS, f"at most {MAX_HEADERS} headers, got {len(changed)}")
        _save(services, endpoint, {"headers": changed})


def _save(services: Services, endpoint: Endpoint, values: dict[str, Any]) -> None:
    """Save changed values; an endpoint that is enabled again does not count as failing."""
    renew_revision(endpoint.app_id, services)
    if endpoint.disabled and not values.get("disabled", True):
        values = {**values, "failing_since": None}
    before = endpoint.throttle_rate, endpoint.failing_since
    rate, since = after = tuple(
        values.get(name, getattr(endpoint, name)) for name in ("throttle_rate", "failing_since")
    )
    with services.unit_of_work() as work:
        if before != after:
            work.limit_partition(DELIVER, endpoint.id, limits(rate, failing=since is not None))
        if bool(values.get("fifo", endpoint.fifo)) != bool(endpoint.fifo):
            cached.forget_order(services, work, endpoint.app_id)
    save(services, endpoint, values)


def _check_fields(body: EndpointPut) -> None:
    rules.check_url(body.url)
    rules.check_uid(body.uid, ids.ENDPOINT)
    rules.check_metadata(body.metadata)


def check_secret(secret: str | None, field: str) -> str:
    """Return the given secret in its normal form, or a new one if none is given.

    Raises:
        Rejected: the given secret is invalid.
    """
    if secret is None:
        return signing.new_secret()
    try:
        return signing.normalise(secret)
    except ValueError as error:
        raise Rejected(("body", field), str(error)) from None
