"""Authentication of the API, over HTTP and GraphQL."""

from __future__ import annotations

from rolehost.api import Authentication
from rolehost.api.http import bearer

from rolehost_webhooks.settings import ApiSettings


def authentication(settings: ApiSettings) -> Authentication | None:
    """Return the authentication by the API's token, or None if no token is set."""
    return None if settings.required_token is None else bearer(settings.required_token)
