"""The bearer token that every request below ``/api/v1`` must bring."""

from __future__ import annotations

import hmac
from typing import Any

import falcon
from rolehost.api import Secret

from rolehost_webhooks.routes.responder import PREFIX

#: Probes bring no token.
OPEN = frozenset(f"{PREFIX}/health{rest}{slash}" for rest in ("", "/ping") for slash in ("", "/"))


class BearerToken:
    """Falcon middleware that lets only those in who bring the token."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    async def process_request(self, req: Any, _resp: Any) -> None:
        """Refuse a request without the token; paths that are not ours pass.

        Raises:
            falcon.HTTPUnauthorized: the token is missing or wrong.
        """
        if not req.path.startswith(PREFIX + "/") or req.path in OPEN:
            return
        if not admits(self._token, req.get_header("Authorization")):
            raise falcon.HTTPUnauthorized(
                description="Invalid token", challenges=["Bearer"], code="authentication_failed"
            )


def admits(token: Secret, authorization: str | None) -> bool:
    """Say whether a header ``Authorization`` brings the token."""
    scheme, _, given = (authorization or "").partition(" ")
    # Constant in time for what the client sends; its length is no secret.
    return scheme.lower() == "bearer" and hmac.compare_digest(
        given.strip().encode("utf-8", "surrogateescape"), token.reveal().encode()
    )
