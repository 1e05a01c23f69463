"""``/app``: applications."""

from __future__ import annotations

from typing import Any

from rolehost_webhooks.domain import applications
from rolehost_webhooks.repositories import applications as repository
from rolehost_webhooks.routes.responder import (
    answer,
    answer_page,
    body,
    cursor,
    no_content,
    query,
    responder,
)
from rolehost_webhooks.schemas.applications import (
    ApplicationIn,
    ApplicationListQuery,
    ApplicationOut,
    ApplicationPatch,
    CreateApplicationQuery,
)
from rolehost_webhooks.schemas.common import ListOut

TAG = "Application"


class Applications:
    """``/app``."""

    @responder(
        TAG,
        summary="List applications",
        query=ApplicationListQuery,
        responses={200: ListOut[ApplicationOut]},
    )
    def on_get(self, req: Any, resp: Any) -> None:
        """List applications, the oldest first."""
        wanted = query(req, ApplicationListQuery)
        page = repository.listing(
            cursor(wanted), without_empty=wanted.exclude_apps_with_no_endpoints
        )
        answer_page(resp, page, ApplicationOut.of)

    @responder(
        TAG,
        summary="Create an application",
        query=CreateApplicationQuery,
        request=ApplicationIn,
        responses={200: ApplicationOut, 201: ApplicationOut},
    )
    def on_post(self, req: Any, resp: Any) -> None:
        """Create an application, or with ``get_if_exists`` return the existing one."""
        application, created = applications.create(
            req.context.services,
            body(req, ApplicationIn),
            get_if_exists=query(req, CreateApplicationQuery).get_if_exists,
        )
        answer(resp, ApplicationOut.of(application), 201 if created else 200)


class OneApplication:
    """``/app/{app_id}``."""

    @responder(TAG, summary="Get an application", responses={200: ApplicationOut})
    def on_get(self, _req: Any, resp: Any, app_id: str) -> None:
        """Get an application by id or uid."""
        answer(resp, ApplicationOut.of(applications.get(app_id)))

    @responder(
        TAG,
        summary="Replace an application",
        request=ApplicationIn,
        responses={200: ApplicationOut, 201: ApplicationOut},
    )
    def on_put(self, req: Any, resp: Any, app_id: str) -> None:
        """Replace an application, or create it."""
        application, created = applications.put(
            req.context.services, app_id, body(req, ApplicationIn)
        )
        answer(resp, ApplicationOut.of(application), 201 if created else 200)

    @responder(
        TAG,
        summary="Change an application",
        request=ApplicationPatch,
        responses={200: ApplicationOut},
    )
    def on_patch(self, req: Any, resp: Any, app_id: str) -> None:
        """Change the given fields of an application."""
        application = applications.patch(req.context.services, app_id, body(req, ApplicationPatch))
        answer(resp, ApplicationOut.of(application))

    @responder(TAG, summary="Delete an application", responses={204: None})
    def on_delete(self, req: Any, resp: Any, app_id: str) -> None:
        """Delete an application with its endpoints."""
        applications.delete(req.context.services, app_id)
        no_content(resp)
