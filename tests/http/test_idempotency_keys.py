"""Requests with the header Idempotency-Key."""

from __future__ import annotations

from typing import Any

import falcon
import pytest
from rolehost.api import Route

from tests.http.asgi import ask
from tests.http.hosts import Host, problem


class Creates:
    def __init__(self) -> None:
        self.made = 0

    def on_post(self, req: Any, resp: Any) -> None:
        if req.context.body == b"fail":
            raise falcon.HTTPBadRequest(description="no")
        self.made += 1
        resp.status = 201
        resp.set_header("x-made", str(self.made))
        resp.media = {"made": self.made}

    def on_get(self, req: Any, resp: Any) -> None:
        resp.media = {"made": self.made}


def test_the_same_key_and_body_give_the_stored_response(host: Host) -> None:
    app = host.app(Route("/make", Creates(), idempotent=True))
    key = {"idempotency-key": "k1"}
    first = ask(app, "POST", "/make", body=b"{}", headers=key)
    again = ask(app, "POST", "/make", body=b"{}", headers=key)
    assert (first.status, first.body) == (again.status, again.body) == (201, b'{"made":1}')
    assert again.headers["x-made"] == "1"
    assert again.headers["content-type"] == "application/json"
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers


def test_the_same_key_with_another_body_or_query_is_422(host: Host) -> None:
    app = host.app(Route("/make", Creates(), idempotent=True))
    key = {"idempotency-key": "k1"}
    ask(app, "POST", "/make", body=b"{}", headers=key)
    for path, body in (("/make", b"[]"), ("/make?x=1", b"{}")):
        answer = ask(app, "POST", path, body=body, headers=key)
        assert (answer.status, problem(answer)["code"]) == (422, "idempotency_conflict")


def test_a_key_belongs_to_its_method_and_path(host: Host) -> None:
    creates = Creates()
    app = host.app(
        Route(
            "/a/{x}",
            type("R", (), {"on_post": lambda self, req, resp, x: creates.on_post(req, resp)})(),
            idempotent=True,
        )
    )
    key = {"idempotency-key": "k1"}
    assert ask(app, "POST", "/a/1", body=b"{}", headers=key).json == {"made": 1}
    assert ask(app, "POST", "/a/2", body=b"{}", headers=key).json == {"made": 2}


def test_a_key_whose_request_is_running_is_409(host: Host) -> None:
    host.services.running.add("POST /make k1")
    app = host.app(Route("/make", Creates(), idempotent=True))
    answer = ask(app, "POST", "/make", headers={"idempotency-key": "k1"})
    assert (answer.status, problem(answer)["code"]) == (409, "idempotency_in_progress")


def test_a_refused_request_is_not_stored(host: Host) -> None:
    app = host.app(Route("/make", Creates(), idempotent=True))
    key = {"idempotency-key": "k1"}
    assert ask(app, "POST", "/make", body=b"fail", headers=key).status == 400
    assert host.services.responses == {}


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_unfit_key_is_400(host: Host, key: str) -> None:
    app = host.app(Route("/make", Creates(), idempotent=True))
    answer = ask(app, "POST", "/make", headers={"idempotency-key": key})
    assert (answer.status, problem(answer)["code"]) == (400, "bad_idempotency_key")


def test_without_a_key_or_on_other_methods_every_request_runs(host: Host) -> None:
    app = host.app(Route("/make", Creates(), idempotent=True))
    made = [ask(app, "POST", "/make", body=b"{}").json["made"] for _ in range(2)]
    assert made == [1, 2]
    key = {"idempotency-key": "k"}
    assert ask(app, "GET", "/make", headers=key).json == {"made": 2}
    assert host.services.responses == {}
