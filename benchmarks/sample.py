"""The resource of both sides of the HTTP pairs: a small JSON document, and an echo of it."""

from __future__ import annotations

from typing import Any

import msgspec
from falcon.media import JSONHandler

#: About 300 bytes of JSON, a typical answer of an API.
ORDER = {
    "id": "ord_2gT7cVqk0cZqk5xJmF0Jm3",
    "state": "paid",
    "currency": "EUR",
    "total": 12990,
    "lines": [
        {"sku": "A-1001", "quantity": 2, "price": 4995},
        {"sku": "B-2002", "quantity": 1, "price": 3000},
    ],
    "customer": {"id": "cus_7Yd", "name": "Ada Example", "country": "DE"},
    "created": "2026-11-22T10:00:00Z",
}

PATH = "/orders/{order}"


class Orders:
    """The resource."""

    async def on_get(self, _req: Any, resp: Any, **_params: str) -> None:
        resp.media = ORDER

    async def on_post(self, req: Any, resp: Any, **_params: str) -> None:
        resp.media = await req.get_media()


def use_msgspec(app: Any) -> None:
    """Give a bare application the host's JSON codec, so that both sides have the same codec."""
    handler = JSONHandler(dumps=msgspec.json.encode, loads=msgspec.json.decode)
    for options in (app.req_options, app.resp_options):
        options.media_handlers["application/json"] = handler
