"""Endpoints: create, find, change, delete; secrets and headers."""

from __future__ import annotations

from urllib.parse import urlsplit

from rolehost.api import Services

from rolehost_webhooks import ids, signing
from rolehost_webhooks.errors import Conflict, NotFound, Rejected
from rolehost_webhooks.models import Endpoint
from rolehost_webhooks.repositories import endpoints
from rolehost_webhooks.schemas.endpoints import (
    EndpointIn,
    EndpointPatch,
    EndpointPut,
    HeadersPatch,
    SecretRotateIn,
)
from rolehost_webhooks.services import applications
from rolehost_webhooks.services.changes import check_uid, given, save

#: Old secrets that are kept at once; a rotation beyond it drops the oldest.
OLD_SECRETS = 10

#: Headers of a delivery that no endpoint may set, besides the signatures.
RESERVED = frozenset(
    {"connection", "content-length", "content-type", "host", "transfer-encoding", "user-agent"}
)

#: Headers whose values are never shown again.
SENSITIVE = frozenset(
    {"authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token"}
)


def get(app_reference: str, reference: str) -> Endpoint:
    """Return the endpoint of this id or uid in the application of that id or uid.

    Raises:
        NotFound: one of them does not exist.
    """
    return within(applications.get(app_reference).id, reference)


def within(app_id: str, reference: str) -> Endpoint:
    """Return the endpoint of this id or uid in an application.

    Raises:
        NotFound: there is none.
    """
    endpoint = endpoints.find(app_id, reference)
    if endpoint is None:
        raise NotFound("Endpoint")
    return endpoint


def create(services: Services, app_reference: str, body: EndpointIn) -> Endpoint:
    """Create an endpoint; its secret is made when none is given.

    Raises:
        NotFound: the application does not exist.
        Conflict: the uid is taken.
        Rejected: URL, uid, secret or headers do not fit.
    """
    check_url(body.url)
    check_uid(body.uid, ids.ENDPOINT)
    check_headers(body.headers or {})
    secret = checked_secret(body.secret, "secret")
    now = services.clock.now()
    with services.unit_of_work():
        endpoint = Endpoint(
            id=ids.new(ids.ENDPOINT, services),
            app_id=applications.get(app_reference).id,
            uid=body.uid,
            url=body.url,
            description=body.description or "",
            throttle_rate=body.throttle_rate,
            event_types=body.event_types,
            channels=body.channels,
            headers=body.headers or {},
            metadata=body.metadata or {},
            disabled=bool(body.disabled),
            secret=secret,
            old_secrets=[],
            created_at=now,
            updated_at=now,
        )
        if not endpoints.insert(endpoint):
            raise Conflict(f"An endpoint with the uid {body.uid!r} already exists")
    return endpoint


def put(
    services: Services, app_reference: str, reference: str, body: EndpointPut
) -> tuple[Endpoint, bool]:
    """Replace an endpoint, or create it with the reference as its uid.

    Returns:
        The endpoint, and whether it is new.

    Raises:
        NotFound: the application does not exist, or the reference is an id and nothing has it.
        Conflict: the uid is taken.
        Rejected: URL or uid do not fit.
    """
    check_url(body.url)
    check_uid(body.uid, ids.ENDPOINT)
    with services.unit_of_work():
        application = applications.get(app_reference)
        endpoint = endpoints.find(application.id, reference)
        if endpoint is None:
            if reference.startswith(ids.ENDPOINT):
                raise NotFound("Endpoint")
            body.uid = body.uid or reference
            return create(services, application.id, EndpointIn(**given(body))), True
        values = given(body) | {
            "description": body.description or "",
            "disabled": bool(body.disabled),
            "metadata": body.metadata or {},
        }
        save(services, endpoint, values)
    return endpoint, False


def patch(services: Services, app_reference: str, reference: str, body: EndpointPatch) -> Endpoint:
    """Change what is given of an endpoint.

    Raises:
        NotFound: application or endpoint do not exist.
        Conflict: the uid is taken.
        Rejected: URL or uid do not fit.
    """
    values = given(body)
    if "url" in values:
        check_url(values["url"])
    check_uid(values.get("uid"), ids.ENDPOINT)
    with services.unit_of_work():
        endpoint = get(app_reference, reference)
        save(services, endpoint, values)
    return endpoint


def delete(services: Services, app_reference: str, reference: str) -> None:
    """Delete an endpoint; deliveries that wait for it are cancelled when their time comes.

    Raises:
        NotFound: application or endpoint do not exist.
    """
    with services.unit_of_work():
        endpoints.delete(get(app_reference, reference), services.clock.now())


def rotate_secret(
    services: Services, app_reference: str, reference: str, body: SecretRotateIn
) -> str:
    """Make a new secret sign, and return it; the old one signs too until its grace ends.

    Raises:
        NotFound: application or endpoint do not exist.
        Rejected: the given secret does not fit.
    """
    secret = checked_secret(body.key, "key")
    now = services.clock.now()
    with services.unit_of_work():
        endpoint = get(app_reference, reference)
        old = {"key": endpoint.secret, "expiresAt": now + body.grace_period_seconds * 1000}
        kept = [one for one in (old, *endpoint.old_secrets) if one["expiresAt"] > now]
        save(services, endpoint, {"secret": secret, "old_secrets": kept[:OLD_SECRETS]})
    return secret


def set_headers(
    services: Services, app_reference: str, reference: str, headers: dict[str, str]
) -> None:
    """Replace the headers that are added to each request.

    Raises:
        NotFound: application or endpoint do not exist.
        Rejected: a name or value cannot be sent, or is the delivery's own.
    """
    check_headers(headers)
    with services.unit_of_work():
        save(services, get(app_reference, reference), {"headers": headers})


def patch_headers(
    services: Services, app_reference: str, reference: str, body: HeadersPatch
) -> None:
    """Add, replace and remove some of the headers that are added to each request.

    Raises:
        NotFound: application or endpoint do not exist.
        Rejected: a name or value cannot be sent, or is the delivery's own.
    """
    check_headers(body.headers)
    replaced = {name.lower() for name in (*body.headers, *(body.delete_headers or ()))}
    with services.unit_of_work():
        endpoint = get(app_reference, reference)
        kept = {n: v for n, v in endpoint.headers.items() if n.lower() not in replaced}
        save(services, endpoint, {"headers": kept | body.headers})


def check_url(url: str) -> None:
    """Refuse what is no absolute HTTP URL. Which addresses are allowed is seen on sending.

    Raises:
        Rejected: it is not.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.username is not None or any(ord(c) <= 32 for c in url):
        raise Rejected(("body", "url"), "must be an absolute http or https URL without userinfo")


def check_headers(headers: dict[str, str]) -> None:
    """Refuse headers that cannot be sent or that belong to the delivery itself.

    Raises:
        Rejected: one of them is such.
    """
    for name, value in headers.items():
        low = name.lower()
        if low in RESERVED or low.startswith(("webhook-", "svix-")):
            raise Rejected(("body", "headers", name), "this header is set by the delivery")
        if not name or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise Rejected(("body", "headers", name), "not a header name")
        if not value.isascii() or not value.isprintable():
            raise Rejected(("body", "headers", name), "value must be printable ASCII")


def checked_secret(secret: str | None, field: str) -> str:
    """Return a given secret in its normal form, or a new one.

    Raises:
        Rejected: it is no secret.
    """
    if secret is None:
        return signing.new_secret()
    try:
        return signing.normalised(secret)
    except ValueError as error:
        raise Rejected(("body", field), str(error)) from None
