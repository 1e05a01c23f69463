"""A plugin's routes, as the tests of the document see them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from rolehost.api import ErrorFormat, Route
from rolehost.api.http import operation


class Line(msgspec.Struct):
    article: str
    count: Annotated[int, msgspec.Meta(ge=1)] = 1


class OrderIn(msgspec.Struct, rename="camel"):
    ordered_by: str
    lines: list[Line]
    note: str | None = None


class OrderOut(OrderIn):
    id: str = ""


class ListOptions(msgspec.Struct, rename="camel"):
    customer: str
    page_size: Annotated[int, msgspec.Meta(ge=1, le=250)] = 50


class Orders:
    @operation(summary="List orders", query=ListOptions, responses={200: list[OrderOut]})
    def on_get(self, req, resp): ...

    @operation(request=OrderIn, responses={201: OrderOut, 409: None}, operation_id="order")
    def on_post(self, req, resp):
        """Place an order.

        It is shipped at once.
        """


class Order:
    def on_get(self, req, resp, number): ...

    @operation(responses={204: None}, operation_id="order", tags=("admin",))
    async def on_delete(self, req, resp, number): ...

    @operation(responses={200: "application/pdf"})
    def on_get_invoice(self, req, resp, number): ...

    @operation(hidden=True)
    def on_put(self, req, resp, number): ...


ROUTES = [
    ("shop", Route("/orders", Orders(), idempotent=True)),
    ("shop", Route("/orders/{number:int(min=1)}", Order())),
    ("shop", Route("/orders/{number:int(min=1)}/invoice", Order(), suffix="invoice")),
]

ERRORS = [
    (
        "shop",
        ErrorFormat("/orders", lambda *_: ("application/vnd.shop.error+json", b'{"wrong": true}')),
    ),
]
