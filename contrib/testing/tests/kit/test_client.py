"""HTTP to a host without a socket: the same application as a server's."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from rolehost.api import PLUGIN_API, PluginInfo, Route, hookimpl

from contrib.testing.tests.kit import shop


def test_a_route_answers_with_its_middleware_and_the_hosts_request_id(open_shop):
    response = open_shop().client.post("/orders", json={"item": "pear"})
    assert (response.status, response.json) == (201, {"id": 1, "role": "http"})
    assert response.headers["X-STAMP"] == "shop"
    assert response.headers["x-request-id"]


def test_queries_and_headers_arrive(open_shop):
    client = open_shop().client.with_headers(x_agent="kit")
    response = client.get("/orders?a=1", params={"b": [2, 3], "c": "ä"})
    assert response.json == {"query": {"a": "1", "b": ["2", "3"], "c": "ä"}, "agent": "kit"}


def test_headers_of_the_client_are_sent_with_every_request(open_shop):
    here = open_shop()
    here.client.headers["x-agent"] = "all"
    assert [here.client.get("/orders").json["agent"] for _ in range(2)] == ["all", "all"]
    assert here.client.get("/orders", headers={"x-agent": "one"}).json["agent"] == "one"


def test_errors_are_answered_as_problems(open_shop):
    client = open_shop().client
    refused = client.post("/orders", json={"item": "pear", "count": 0})
    assert refused.status == 422
    assert refused.headers["content-type"] == "application/problem+json"
    typed = {"content-type": "application/json"}
    assert client.post("/orders", body="{", headers=typed).status == 400
    assert client.get("/nowhere").status == 404
    assert client.delete("/orders").status == 405


def test_a_repeated_idempotency_key_is_answered_with_the_first_response(open_shop):
    here = open_shop()
    sent = [
        here.client.post("/orders", json={"item": "pear"}, idempotency_key="one") for _ in range(2)
    ]
    assert [response.json for response in sent] == [{"id": 1, "role": "http"}] * 2
    assert sent[1].headers["idempotent-replayed"] == "true"
    assert len(here.enqueued) == 1
    other = here.client.post("/orders", json={"item": "plum"}, idempotency_key="one")
    assert other.status == 422


def test_a_body_beyond_the_limit_is_refused(open_shop):
    here = open_shop(settings={"http": {"max_body": 10}})
    assert here.client.post("/orders", body=b"x" * 11).status == 413


def test_a_response_that_is_not_json_is_shown_in_the_error(open_shop):
    response = open_shop().client.head("/orders")
    with pytest.raises(ValueError, match="<Response 405"):
        assert response.json


def test_a_test_that_runs_in_an_event_loop_can_send_requests(open_shop):
    here = open_shop()

    async def send():
        return here.client.post("/orders", json={"item": "pear"}).status

    assert asyncio.run(send()) == 201
    assert shop.Order.select().count() == 1


def test_requests_are_counted(open_shop):
    here = open_shop()
    here.client.get("/orders")
    assert here.metrics.requests == {("GET", "/orders", 200): 1}


def test_a_command_of_a_plugin_runs_in_this_process(open_shop):
    here = open_shop()
    here.client.post("/orders", json={"item": "pear", "count": 2})
    done = here.invoke("shop-report --least 2")
    assert (done.exit_code, done.output) == (0, "1 orders\n")
    assert here.invoke(["shop-report", "--least", "x"]).exit_code == 2
    with pytest.raises(LookupError, match='did you mean "shop-report"'):
        here.invoke("shop-reprot")


def test_a_health_check_is_run_by_name(open_shop):
    here = open_shop()
    assert here.check("shop") == "open"
    with pytest.raises(LookupError, match='did you mean "shop"'):
        here.check("shpo")


class Leaves:
    """A responder that starts a task without awaiting it."""

    def __init__(self) -> None:
        self.begun: list[asyncio.Task[None]] = []

    async def on_get(self, req, resp):
        self.begun.append(asyncio.create_task(asyncio.sleep(1000)))


class Leaving:
    def __init__(self) -> None:
        self.resource = Leaves()

    @hookimpl
    def rolehost_plugin(self):
        return PluginInfo(api=PLUGIN_API)

    @hookimpl
    def rolehost_routes(self):
        return [Route("/leaves", self.resource)]


def test_tasks_that_a_request_does_not_await_end_with_it(host):
    plugin = Leaving()
    here = host({"leaving": plugin})
    assert [here.client.get("/leaves").status for _ in range(2)] == [200, 200]
    assert [task.cancelled() for task in plugin.resource.begun] == [True, True]


def test_threads_may_send_requests_at_once(open_shop):
    here = open_shop()
    here.client.get("/orders")
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda _: here.client.get("/orders").status, range(40))
        assert set(answers) == {200}
