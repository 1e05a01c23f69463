"""Error responses of an application."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from rolehost.api import ErrorFormat, Route, StorageUnavailable
from rolehost.api.http import Invalid, decode
from rolehost.roles.http.application import build
from structlog.testing import capture_logs

from tests.http.asgi import ask
from tests.http.compositions import compose
from tests.http.hosts import QUIET, Host, Items, Raises, problem


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/items/1", 405, "method_not_allowed"),
        ("GET", "/raises", 500, "internal_server_error"),
    ],
)
def test_errors_are_problem_details(
    host: Host, method: str, path: str, status: int, code: str
) -> None:
    app = host.app(
        Route("/items/{item}", Items()), Route("/raises", Raises(RuntimeError("internals")))
    )
    with capture_logs():
        answer = ask(app, method, path)
    shown = problem(answer)
    assert (answer.status, shown["code"]) == (status, code)
    assert b"internals" not in answer.body
    assert not shown["title"].startswith(str(status))


def test_the_request_id_is_the_instance_of_a_problem(host: Host) -> None:
    answer = ask(
        host.app(request_id=True), "GET", "/x", headers={"x-request-id": "a b".replace(" ", "/")}
    )
    assert problem(answer)["instance"] == "a%2Fb"


def test_an_unhandled_exception_is_logged_with_its_request(host: Host) -> None:
    app = host.app(Route("/raises", Raises(RuntimeError("internals"))))
    for method in ("GET", "POST"):
        with capture_logs() as lines:
            assert ask(app, method, "/raises").status == 500
        (line,) = [each for each in lines if each["log_level"] == "error"]
        assert (line["method"], line["path"]) == (method, "/raises")
        assert str(line["exc_info"]) == "internals"


def test_unavailable_storage_is_503_with_retry_after(host: Host) -> None:
    app = host.app(Route("/raises", Raises(StorageUnavailable("disk full at /secret"))))
    with capture_logs():
        answer = ask(app, "POST", "/raises")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert b"secret" not in answer.body


def test_malformed_json_is_400_and_json_of_another_form_422(host: Host) -> None:
    class Person(msgspec.Struct):
        name: str

    class Decodes:
        def on_post(self, req: Any, resp: Any) -> None:
            resp.media = decode(req.context.body, Person).name

    class Media:
        async def on_post(self, req: Any, resp: Any) -> None:
            resp.media = await req.get_media()

    app = host.app(Route("/decodes", Decodes()), Route("/media", Media()))
    kind = {"content-type": "application/json"}
    for path in ("/decodes", "/media"):
        malformed = ask(app, "POST", path, body=b'{"name":', headers=kind)
        assert (malformed.status, problem(malformed)["code"]) == (400, "malformed_json")
    unfit = ask(app, "POST", "/decodes", body=b'{"name": 1}')
    assert unfit.status == 422
    assert problem(unfit)["errors"] == [
        {"loc": ["body", "name"], "msg": "Expected `str`, got `int`", "type": "value_error"}
    ]


def test_errors_below_a_prefix_have_the_format_of_the_longest_prefix(host: Host) -> None:
    def rendering(name: str) -> Any:
        def render(status: int, title: str, detail: Any, code: str) -> tuple[str, bytes]:
            shown = {"by": name, "status": status, "detail": detail, "code": code}
            return "application/json", json.dumps(shown).encode()

        return render

    errors = [{"loc": ["body"], "msg": "no", "type": "value_error"}]
    composition = compose(
        [Route("/api/v1/invalid", Raises(Invalid(errors)))],
        formats=[ErrorFormat("/api", rendering("api")), ErrorFormat("/api/v1", rendering("v1"))],
        max_body=5,
        **QUIET,
    )
    services: Any = host.services
    application = build(composition, services, host.recorders)
    app = application.asgi
    assert ask(app, "GET", "/api/v1/invalid").json == {
        "by": "v1",
        "status": 422,
        "detail": errors,
        "code": "validation_error",
    }
    assert ask(app, "GET", "/api/v1/x").json["by"] == "v1"
    assert ask(app, "POST", "/api/v1/x", body=b"123456").json["code"] == "content_too_large"
    assert ask(app, "GET", "/api/v10").json["by"] == "api"
    assert problem(ask(app, "GET", "/apis"))["code"] == "not_found"
    application.close()
