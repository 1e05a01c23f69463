"""``/health`` and ``/health/ping``: whether the API responds. They need no token."""

from __future__ import annotations

from typing import Any

from rolehost.api.http import operation


class Health:
    """``/health`` and ``/health/ping``."""

    @operation(summary="Say that the API answers", responses={204: None}, tags=("Health",))
    async def on_get(self, _req: Any, resp: Any) -> None:
        """Answer 204. The readiness check, with storage, is ``/readyz`` of the plugin ``ops``."""
        resp.status = 204

    on_head = on_get
