"""What stands on the wire: bytes of payloads, errors, the token."""

from __future__ import annotations

import json
from collections.abc import Callable
from uuid import uuid4

import pytest
from svix.api import ApplicationIn, EndpointIn, Svix

from .receiver import Receiver

Get = Callable[..., tuple[int, bytes]]


def test_health_needs_no_token(get: Get) -> None:
    for path in ("/api/v1/health", "/api/v1/health/ping"):
        for method in ("GET", "HEAD"):
            assert get(path, method=method, token=None) == (204, b"")


@pytest.mark.parametrize("token", [None, "", "wrong", "a-token-for-tests2", "ümlaut"])
def test_everything_else_needs_the_token(get: Get, token: str | None) -> None:
    status, body = get("/api/v1/app", token=token and token.encode().decode("latin-1"))
    assert status == 401
    assert json.loads(body) == {"code": "authentication_failed", "detail": "Invalid token"}


def test_a_slash_at_the_end_changes_nothing(get: Get) -> None:
    assert get("/api/v1/health/", token=None) == (204, b"")
    made = get("/api/v1/app/", method="POST", data=b'{"name":"slash"}')
    assert made[0] == 201
    identity = json.loads(made[1])["id"]
    assert get(f"/api/v1/app/{identity}/")[0] == 200
    assert get("/api/v1/app/", token=None)[0] == 401


def test_an_unknown_path_is_told_in_the_same_form(get: Get) -> None:
    status, body = get("/api/v1/nothing")
    assert (status, json.loads(body)["code"]) == (404, "not_found")


def test_malformed_json_is_told_as_svix_tells_it(get: Get) -> None:
    status, body = get("/api/v1/app", method="POST", data=b'{"name":')
    (mistake,) = json.loads(body)["detail"]
    assert status == 422
    assert (mistake["loc"], mistake["type"]) == (["body"], "value_error.jsondecode")


@pytest.mark.parametrize(
    "payload",
    [
        b'{ "a" : 1.0 ,\n\t"b":"\\u00e9\\/"  }',
        '{"é":"☃","dup":1,"dup":2,"big":123456789012345678901234567890}'.encode(),
        b'{"e":1e400,"z":-0.0,"empty":{},"list":[ ]}',
        b"{}",
    ],
)
def test_a_receiver_gets_the_bytes_that_were_sent(
    svix: Svix, receiver: Receiver, get: Get, payload: bytes
) -> None:
    app = svix.application.create(ApplicationIn(name="bytes", uid=uuid4().hex))
    svix.endpoint.create(app.id, EndpointIn(url=receiver.url))
    body = b'{ "eventType":"a",\r\n "payload" :' + payload + b' ,"eventId": "e-1"}'
    status, answer = get(f"/api/v1/app/{app.uid}/msg", method="POST", data=body)
    assert status == 202
    assert payload in answer
    assert receiver.next().body == payload


@pytest.mark.parametrize("payload", [b"[1]", b'"text"', b"null", b'{"a":"\xff"}'])
def test_a_payload_that_is_no_object_in_utf8_is_refused(
    svix: Svix, get: Get, payload: bytes
) -> None:
    app = svix.application.create(ApplicationIn(name="bytes"))
    body = b'{"eventType":"a","payload":' + payload + b"}"
    status, answer = get(f"/api/v1/app/{app.id}/msg", method="POST", data=body)
    assert status == 422
    assert json.loads(answer)["detail"][0]["loc"] == ["body", "payload"]
