"""All paths of the API."""

from __future__ import annotations

from rolehost.api import Route

from rolehost_webhooks.routes import (
    applications,
    attempts,
    endpoint_parts,
    endpoints,
    event_types,
    health,
    messages,
    not_offered,
)
from rolehost_webhooks.routes.responder import PREFIX

APP = f"{PREFIX}/app"
ONE_APP = f"{APP}/{{app_id}}"
ONE_ENDPOINT = f"{ONE_APP}/endpoint/{{endpoint_id}}"
ONE_MESSAGE = f"{ONE_APP}/msg/{{msg_id}}"
ONE_ATTEMPT = f"{ONE_MESSAGE}/attempt/{{attempt_id}}"

NOT_OFFERED = not_offered.NotOffered()

RESOURCES: dict[str, object] = {
    f"{PREFIX}/health": health.Health(),
    f"{PREFIX}/health/ping": health.Health(),
    APP: applications.Applications(),
    ONE_APP: applications.OneApplication(),
    f"{ONE_APP}/endpoint": endpoints.Endpoints(),
    ONE_ENDPOINT: endpoints.OneEndpoint(),
    f"{ONE_ENDPOINT}/secret": endpoint_parts.EndpointSecret(),
    f"{ONE_ENDPOINT}/secret/rotate": endpoint_parts.EndpointSecretRotation(),
    f"{ONE_ENDPOINT}/headers": endpoint_parts.EndpointHeaders(),
    f"{ONE_ENDPOINT}/stats": endpoint_parts.EndpointStats(),
    f"{ONE_ENDPOINT}/send-example": endpoint_parts.EndpointExample(),
    f"{ONE_ENDPOINT}/recover": endpoint_parts.EndpointRecovery(),
    f"{ONE_ENDPOINT}/msg": attempts.EndpointMessages(),
    f"{ONE_APP}/msg": messages.Messages(),
    ONE_MESSAGE: messages.OneMessage(),
    f"{ONE_MESSAGE}/content": messages.MessageContent(),
    f"{ONE_MESSAGE}/endpoint": attempts.MessageEndpoints(),
    f"{ONE_MESSAGE}/endpoint/{{endpoint_id}}/resend": attempts.Resend(),
    f"{ONE_MESSAGE}/endpoint/{{endpoint_id}}/attempt": attempts.AttemptsAtEndpoint(),
    f"{ONE_MESSAGE}/attempt": attempts.AttemptsByMessage(),
    ONE_ATTEMPT: attempts.OneAttempt(),
    f"{ONE_ATTEMPT}/content": attempts.AttemptContent(),
    f"{ONE_APP}/attempt/endpoint/{{endpoint_id}}": attempts.AttemptsByEndpoint(),
    f"{ONE_APP}/attempt/msg/{{msg_id}}": attempts.AttemptsByMessage(),
    f"{PREFIX}/auth/app-portal-access/{{app_id}}": NOT_OFFERED,
    f"{PREFIX}/auth/dashboard-access/{{app_id}}": NOT_OFFERED,
    f"{PREFIX}/auth/logout": NOT_OFFERED,
    f"{PREFIX}/event-type": event_types.EventTypes(),
    f"{PREFIX}/event-type/{{event_type_name}}": event_types.OneEventType(),
}


#: Routes that need no token, and why.
OPEN = dict.fromkeys((f"{PREFIX}/health", f"{PREFIX}/health/ping"), "load balancers send no token")


def routes(open_because: str = "") -> list[Route]:
    """Return the routes.

    Each POST supports ``Idempotency-Key``, which Svix's clients send. A trailing slash in a path
    is accepted, because older clients send it.

    Args:
        open_because: why no route needs authentication; empty if they need it.
    """
    return [
        Route(
            path,
            resource,
            idempotent=hasattr(resource, "on_post"),
            open=OPEN.get(path, open_because),
            trailing_slash=True,
        )
        for path, resource in RESOURCES.items()
    ]
