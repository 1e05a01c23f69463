"""Below ``/app/{app_id}/endpoint/{endpoint_id}``: secret, headers, statistics, recovery."""

from __future__ import annotations

import re
from typing import Any

from rolehost_webhooks.domain import endpoints, examples, recovery
from rolehost_webhooks.models import Status
from rolehost_webhooks.routes.responder import answer, body, no_content, query, responder
from rolehost_webhooks.schemas.common import moment
from rolehost_webhooks.schemas.endpoints import (
    ExampleIn,
    HeadersIn,
    HeadersOut,
    HeadersPatch,
    PeriodQuery,
    RecoverIn,
    SecretOut,
    SecretRotateIn,
    StatsOut,
    TaskOut,
)
from rolehost_webhooks.schemas.messages import MessageOut

TAG = "Endpoint"


#: The ``User-Agent`` of Svix's clients, for example ``svix-libs/2.9.1/python``.
_LIBRARY = re.compile(r"svix-libs/(\d+)\.(\d+)\.")

#: The first release whose clients read the new secret from the answer to a rotation.
_READS_NEW_SECRET = (2, 7)


def reads_new_secret(user_agent: str | None) -> bool:
    """Return whether a client reads the new secret from the answer to a rotation.

    Svix's clients from 2.7 on fail if the answer is empty. The Java client before 2.7 fails if
    it is not empty.
    """
    library = _LIBRARY.match(user_agent or "")
    return library is not None and (int(library[1]), int(library[2])) >= _READS_NEW_SECRET


class EndpointSecret:
    """``…/secret``."""

    @responder(TAG, summary="Get the secret", responses={200: SecretOut})
    def on_get(self, _req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """Get the signing secret, with which a receiver verifies webhooks."""
        answer(resp, SecretOut(key=endpoints.get(app_id, endpoint_id).secret))


class EndpointSecretRotation:
    """``…/secret/rotate``."""

    @responder(
        TAG,
        summary="Rotate the secret",
        request=SecretRotateIn,
        responses={200: SecretOut, 204: None},
    )
    def on_post(self, req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """Set a new secret; the old one also signs for a day by default.

        The answer is 204, as in Svix's open-source server. Svix's clients from 2.7 on get 200 and
        the secret.
        """
        secret = endpoints.rotate_secret(
            req.context.services, app_id, endpoint_id, body(req, SecretRotateIn)
        )
        if reads_new_secret(req.get_header("User-Agent")):
            answer(resp, SecretOut(key=secret))
        else:
            no_content(resp)


class EndpointHeaders:
    """``…/headers``."""

    @responder(TAG, summary="Get the headers", responses={200: HeadersOut})
    def on_get(self, _req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """Get the headers that are added to each request, without values of sensitive ones."""
        headers = endpoints.get(app_id, endpoint_id).headers
        sensitive = sorted(name for name in headers if name.lower() in endpoints.SENSITIVE)
        shown = {name: value for name, value in headers.items() if name not in sensitive}
        answer(resp, HeadersOut(headers=shown, sensitive=sensitive))

    @responder(TAG, summary="Replace the headers", request=HeadersIn, responses={204: None})
    def on_put(self, req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """Replace the headers that are added to each request."""
        endpoints.set_headers(
            req.context.services, app_id, endpoint_id, body(req, HeadersIn).headers
        )
        no_content(resp)

    @responder(TAG, summary="Change the headers", request=HeadersPatch, responses={204: None})
    def on_patch(self, req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """Add, replace or remove some of the headers."""
        endpoints.patch_headers(req.context.services, app_id, endpoint_id, body(req, HeadersPatch))
        no_content(resp)


class EndpointStats:
    """``…/stats``."""

    @responder(
        TAG, summary="Count deliveries by status", query=PeriodQuery, responses={200: StatsOut}
    )
    def on_get(self, req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """Count an endpoint's deliveries by status, for the messages of a period."""
        period = query(req, PeriodQuery)
        counts = recovery.stats(
            req.context.services, app_id, endpoint_id, period.since, period.until
        )
        answer(resp, StatsOut(**{one.name.lower(): counts.get(one, 0) for one in Status}))


class EndpointExample:
    """``…/send-example``."""

    @responder(TAG, summary="Send an example", request=ExampleIn, responses={200: MessageOut})
    def on_post(self, req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """Send an example of an event type to this endpoint only."""
        message = examples.send(req.context.services, app_id, endpoint_id, body(req, ExampleIn))
        answer(resp, MessageOut.of(message, with_content=True))


class EndpointRecovery:
    """``…/recover``."""

    @responder(
        TAG, summary="Send failed messages again", request=RecoverIn, responses={202: TaskOut}
    )
    def on_post(self, req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """Resend the failed and cancelled messages of a period in the background."""
        services = req.context.services
        wanted = body(req, RecoverIn)
        task = recovery.recover(services, app_id, endpoint_id, wanted.since, wanted.until)
        now = moment(services.clock.now())
        answer(
            resp,
            TaskOut(id=task, status="running", task="endpoint.recover", updated_at=now),
            202,
        )
