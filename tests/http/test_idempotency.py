"""Idempotency by key over a real database: the effects and the response commit together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import falcon
import pytest
from rolehost import schema
from rolehost.api import PluginInfo, Route, actor, hookimpl
from rolehost.composition import compose
from rolehost.deployment import load
from rolehost.roles.http.application import build
from rolehost.roles.process import Process

from tests.http.asgi import Answer, ask

pytest.importorskip("rolehost_embedded")


@actor()
def made(context: Any, n: int) -> None:
    raise AssertionError("no worker runs here")


class Orders:
    """Enqueues one job for each order, and may be blocked or fail."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()

    def on_post(self, req: Any, resp: Any) -> None:
        with req.context.services.unit_of_work() as work:
            job = work.enqueue(made, n=len(req.context.body))
            self.entered.release()
            assert self.go_on.wait(30)
            if req.context.body == b"fail":
                raise falcon.HTTPConflict(description="no")
        resp.status = 201
        resp.media = {"job": job.id}


class Plugin:
    def __init__(self, orders: Orders) -> None:
        self.orders = orders

    @hookimpl
    def rolehost_plugin(self) -> PluginInfo:
        return PluginInfo(api=1, requires=("database",), enqueues=("made",))

    @hookimpl
    def rolehost_actors(self) -> Any:
        return [made]

    @hookimpl
    def rolehost_routes(self) -> Any:
        return [Route("/orders", self.orders, idempotent=True)]


class Shop:
    def __init__(self, process: Process, orders: Orders) -> None:
        self.process = process
        self.orders = orders
        composition = process.composition
        self.application = build(composition, process.services, process.services.recorders)

    def order(self, key: str, body: bytes = b"{}", **more: str) -> Answer:
        headers = {"idempotency-key": key, **more}
        return ask(self.application.asgi, "POST", "/orders", body=body, headers=headers)

    def jobs(self) -> int:
        database = self.process.services.database
        with database.session():
            row = database.peewee.execute_sql("SELECT count(*) FROM rolehost_jobs").fetchone()
        return int(row[0])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    path = tmp_path / "shop.toml"
    path.write_text(
        'plugins = ["embedded", "shop"]\n'
        f'[embedded]\npath = "{tmp_path}/shop.db"\n'
        "[http]\nrequest_id = false\naccess_log = false\n"
    )
    orders = Orders()
    composition = compose(load(path), extra={"shop": Plugin(orders)})
    database = composition.backends["database"].value.factory()
    with database.session():
        schema.up(database, [schema.HOST_SET, *composition.schema_sets])
    database.close()
    process = Process(composition, role="http")
    process.start()
    made_shop = Shop(process, orders)
    yield made_shop
    made_shop.application.close()
    process.stop()


def test_a_repetition_gives_the_same_response_and_has_no_effect(shop: Shop) -> None:
    first, again = shop.order("k1"), shop.order("k1")
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    assert again.headers["idempotent-replayed"] == "true"
    assert shop.jobs() == 1


def test_another_body_under_the_same_key_is_refused(shop: Shop) -> None:
    shop.order("k1")
    answer = shop.order("k1", b"[]")
    assert (answer.status, answer.json["code"]) == (422, "idempotency_conflict")
    assert shop.jobs() == 1


def test_another_client_is_not_sent_the_stored_response(shop: Shop) -> None:
    first = shop.order("k1", authorization="Bearer one")
    other = shop.order("k1", authorization="Bearer two")
    assert (first.status, other.status, other.json["code"]) == (201, 422, "idempotency_conflict")
    assert shop.order("k1", authorization="Bearer one").body == first.body


def test_a_refused_request_stores_nothing_and_can_be_repeated(shop: Shop) -> None:
    assert shop.order("k1", b"fail").status == 409
    assert shop.jobs() == 0
    assert shop.order("k1", b"good").status == 201
    assert shop.jobs() == 1


def test_of_two_at_once_one_has_its_effect(shop: Shop) -> None:
    shop.orders.go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(shop.order, "k1") for _ in range(2)]
        assert shop.orders.entered.acquire(timeout=30)
        shop.orders.go_on.set()
        answers = [each.result(30) for each in both]
    assert shop.jobs() == 1
    assert {answer.status for answer in answers} <= {201, 409}
    assert 201 in {answer.status for answer in answers}
