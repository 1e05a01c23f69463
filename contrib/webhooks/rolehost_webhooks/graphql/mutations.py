"""Mutations; they call the same functions and units of work as the HTTP API."""

from __future__ import annotations

from datetime import datetime

import strawberry

from rolehost_webhooks.domain import applications, endpoints, messages, recovery
from rolehost_webhooks.graphql.inputs import (
    ApplicationChanges,
    ApplicationInput,
    EndpointChanges,
    EndpointInput,
    MessageInput,
    body,
)
from rolehost_webhooks.graphql.types import Application, Endpoint, Info, Message
from rolehost_webhooks.schemas.applications import ApplicationIn, ApplicationPatch
from rolehost_webhooks.schemas.endpoints import EndpointIn, EndpointPatch, SecretRotateIn
from rolehost_webhooks.schemas.messages import MessageIn

ID = strawberry.ID


@strawberry.input
class SecretInput:
    """A rotation of a secret."""

    key: str | None = strawberry.field(
        default=None, description="The new secret; one is made when it is missing."
    )
    grace_period_seconds: int = strawberry.field(
        default=86_400, description="For how long the old one signs too."
    )


@strawberry.type
class Mutation:
    """Mutation fields of this package. Objects are found by id or uid."""

    @strawberry.mutation(
        description="Create an application; with `getIfExists` an existing one is an answer too."
    )
    def create_application(
        self,
        info: Info,
        input: ApplicationInput,
        get_if_exists: bool = False,
    ) -> Application:
        wanted = body(input, ApplicationIn)
        services = info.context.services
        row, _ = applications.create(services, wanted, get_if_exists=get_if_exists)
        return Application.of(row)

    @strawberry.mutation(description="Change what is given of an application.")
    def update_application(
        self,
        info: Info,
        id: ID,
        input: ApplicationChanges,
    ) -> Application:
        wanted = body(input, ApplicationPatch)
        return Application.of(applications.patch(info.context.services, id, wanted))

    @strawberry.mutation(description="Delete an application with its endpoints.")
    def delete_application(self, info: Info, id: ID) -> ID:
        applications.delete(info.context.services, id)
        return id

    @strawberry.mutation(description="Create an endpoint.")
    def create_endpoint(
        self,
        info: Info,
        application: ID,
        input: EndpointInput,
    ) -> Endpoint:
        wanted = body(input, EndpointIn)
        return Endpoint.of(endpoints.create(info.context.services, application, wanted))

    @strawberry.mutation(description="Change what is given of an endpoint.")
    def update_endpoint(
        self,
        info: Info,
        application: ID,
        id: ID,
        input: EndpointChanges,
    ) -> Endpoint:
        wanted = body(input, EndpointPatch)
        return Endpoint.of(endpoints.patch(info.context.services, application, id, wanted))

    @strawberry.mutation(description="Delete an endpoint.")
    def delete_endpoint(self, info: Info, application: ID, id: ID) -> ID:
        endpoints.delete(info.context.services, application, id)
        return id

    @strawberry.mutation(
        description="Make a new secret sign, and return it; the old one signs too for a while."
    )
    def rotate_endpoint_secret(
        self,
        info: Info,
        application: ID,
        id: ID,
        input: SecretInput | None = None,
    ) -> str:
        wanted = body(input or SecretInput(), SecretRotateIn)
        return endpoints.rotate_secret(info.context.services, application, id, wanted)

    @strawberry.mutation(
        description="Send again, in the background, what failed for good or was cancelled in a"
        " period; return the task's id."
    )
    def recover_endpoint(
        self,
        info: Info,
        application: ID,
        id: ID,
        since: datetime,
        until: datetime | None = None,
    ) -> ID:
        return ID(recovery.recover(info.context.services, application, id, since, until))

    @strawberry.mutation(
        description="Take a message for all endpoints that listen; once answered, it is not lost."
    )
    def send_message(
        self,
        info: Info,
        application: ID,
        input: MessageInput,
    ) -> Message:
        wanted = body(input, MessageIn)
        return Message.of(messages.create(info.context.services, application, wanted))

    @strawberry.mutation(description="Send a message to one endpoint again.")
    def resend_message(self, info: Info, application: ID, id: ID, endpoint: ID) -> Message:
        services = info.context.services
        messages.resend(services, application, id, endpoint)
        return Message.of(messages.get(application, id))
