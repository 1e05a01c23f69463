"""Operations of Svix's open-source server that this API does not offer: all answer 501.

A 404 would look like a misspelled path.
"""

from __future__ import annotations

from typing import Any

import falcon
from rolehost.api.http import operation

from rolehost_webhooks.schemas.common import ErrorOut


class NotOffered:
    """Paths below ``/auth``: this API has one token, and neither a portal nor sessions."""

    @operation(summary="Not offered", responses={501: ErrorOut}, tags=("Authentication",))
    async def on_post(self, _req: Any, _resp: Any, **_path: str) -> None:
        """Say that the operation is not offered."""
        raise falcon.HTTPNotImplemented(
            description="This operation is not offered; see docs/svix.md", code="not_implemented"
        )
