"""Paths as older clients write them: with a slash at the end."""

from __future__ import annotations

from typing import Any

from rolehost_webhooks.routes.responder import PREFIX


class TrailingSlash:
    """Falcon middleware that takes ``/api/v1/app/`` for ``/api/v1/app``, as Svix's server does."""

    async def process_request(self, req: Any, _resp: Any) -> None:
        """Cut the slash off before the path is looked up; other plugins' paths stay."""
        path: str = req.path
        if path.endswith("/") and path.startswith(PREFIX + "/"):
            req.path = path.rstrip("/")
