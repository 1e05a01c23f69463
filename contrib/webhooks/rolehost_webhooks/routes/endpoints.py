"""``/app/{app_id}/endpoint``: endpoints."""

from __future__ import annotations

from typing import Any

from rolehost_webhooks.domain import applications, endpoints
from rolehost_webhooks.repositories import endpoints as repository
from rolehost_webhooks.routes.responder import (
    answer,
    answer_page,
    body,
    cursor,
    no_content,
    query,
    responder,
)
from rolehost_webhooks.schemas.common import ListOut, PageQuery
from rolehost_webhooks.schemas.endpoints import EndpointIn, EndpointOut, EndpointPatch, EndpointPut

TAG = "Endpoint"


class Endpoints:
    """``/app/{app_id}/endpoint``."""

    @responder(
        TAG, summary="List endpoints", query=PageQuery, responses={200: ListOut[EndpointOut]}
    )
    def on_get(self, req: Any, resp: Any, app_id: str) -> None:
        """List the endpoints of an application, the newest first."""
        application = applications.get(app_id)
        wanted = cursor(query(req, PageQuery), descending=True)
        page = repository.listing(application.id, wanted)
        answer_page(resp, page, EndpointOut.of)

    @responder(TAG, summary="Create an endpoint", request=EndpointIn, responses={201: EndpointOut})
    def on_post(self, req: Any, resp: Any, app_id: str) -> None:
        """Create an endpoint."""
        endpoint = endpoints.create(req.context.services, app_id, body(req, EndpointIn))
        answer(resp, EndpointOut.of(endpoint), 201)


class OneEndpoint:
    """``/app/{app_id}/endpoint/{endpoint_id}``."""

    @responder(TAG, summary="Get an endpoint", responses={200: EndpointOut})
    def on_get(self, _req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """Get an endpoint by id or uid."""
        answer(resp, EndpointOut.of(endpoints.get(app_id, endpoint_id)))

    @responder(
        TAG,
        summary="Replace an endpoint",
        request=EndpointPut,
        responses={200: EndpointOut, 201: EndpointOut},
    )
    def on_put(self, req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """Replace an endpoint, or create it."""
        endpoint, created = endpoints.put(
            req.context.services, app_id, endpoint_id, body(req, EndpointPut)
        )
        answer(resp, EndpointOut.of(endpoint), 201 if created else 200)

    @responder(
        TAG, summary="Change an endpoint", request=EndpointPatch, responses={200: EndpointOut}
    )
    def on_patch(self, req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """Change the given fields of an endpoint."""
        endpoint = endpoints.patch(
            req.context.services, app_id, endpoint_id, body(req, EndpointPatch)
        )
        answer(resp, EndpointOut.of(endpoint))

    @responder(TAG, summary="Delete an endpoint", responses={204: None})
    def on_delete(self, req: Any, resp: Any, app_id: str, endpoint_id: str) -> None:
        """Delete an endpoint."""
        endpoints.delete(req.context.services, app_id, endpoint_id)
        no_content(resp)
