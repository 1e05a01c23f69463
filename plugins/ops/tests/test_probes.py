from __future__ import annotations

import logging
import sys
import threading

from rolehost.api import Check, StorageUnavailable


def refuse(*_):
    raise StorageUnavailable("no route to db.example as user app")


def test_a_process_without_checks_is_alive(client):
    answer = client.simulate_get("/healthz")
    assert answer.status_code == 200
    assert answer.json == {"status": "ok", "checks": []}
    assert answer.headers["cache-control"] == "no-store"


def test_liveness_asks_only_checks_that_declare_it(client, services):
    services.checks = [
        ("shop", Check(name="ready-only", fn=refuse)),
        ("shop", Check(name="loop", fn=lambda _: "turning", ready=False, live=True)),
    ]
    answer = client.simulate_get("/healthz")
    assert answer.status_code == 200
    (result,) = answer.json["checks"]
    assert (result["name"], result["source"], result["ok"], result["detail"]) == (
        "loop", "shop", True, "turning",
    )  # fmt: skip


def test_a_failing_live_check_asks_for_a_restart(client, services):
    services.checks = [("shop", Check(name="loop", fn=refuse, live=True))]
    answer = client.simulate_get("/healthz")
    assert answer.status_code == 503
    assert answer.json["status"] == "failed"


def test_a_check_that_is_neither_ready_nor_live_is_told_and_decides_nothing(client, services):
    services.checks = [("shop", Check(name="advice", fn=refuse, ready=False))]
    answer = client.simulate_get("/readyz")
    assert answer.status_code == 200
    [told] = [check for check in answer.json["checks"] if check["name"] == "advice"]
    assert (told["ok"], told["decides"]) == (False, False)
    assert client.simulate_get("/healthz").json["checks"] == []


def test_a_process_that_goes_on_without_a_plugin_is_ready_and_says_which(client, services):
    services.degraded = {"shop": "start-raised: secret words (shop.py:3)"}
    answer = client.simulate_get("/readyz")
    assert answer.status_code == 200
    assert answer.json == {"status": "degraded", "checks": [], "degraded": ["shop"]}
    services.offer("database", refuse)
    answer = client.simulate_get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (503, "failed")


def test_readiness_pings_the_backends_there_are(client, services):
    services.offer("database", name="sqlite")
    services.offer("cache", name="memory")
    answer = client.simulate_get("/readyz")
    assert answer.status_code == 200
    assert [(each["name"], each["source"]) for each in answer.json["checks"]] == [
        ("database", "sqlite"),
        ("cache", "memory"),
    ]


def test_readiness_without_any_backend_is_ready(client):
    assert client.simulate_get("/readyz").json == {"status": "ok", "checks": []}


def test_pings_and_checks_run_inside_a_session_of_the_database(client, services):
    services.offer("database")
    services.checks = [("shop", Check(name="stock", fn=lambda _: None))]
    client.simulate_get("/readyz")
    assert services.database.sessions == 2


def test_a_backend_that_does_not_answer_makes_the_process_unready(client, services):
    services.offer("database", refuse)
    answer = client.simulate_get("/readyz")
    assert answer.status_code == 503
    (result,) = answer.json["checks"]
    assert not result["ok"]


def test_the_failure_of_an_optional_backend_is_told_and_decides_nothing(client, services):
    services.offer("database")
    services.offer("queue", refuse)
    services.optional = frozenset({"queue"})
    answer = client.simulate_get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (200, "ok")
    told = {each["name"]: (each["ok"], each["decides"]) for each in answer.json["checks"]}
    assert told == {"database": (True, True), "queue": (False, False)}


def test_the_text_of_a_failure_is_told_only_when_asked_for(client_with, services):
    services.offer("database", refuse)
    assert client_with().simulate_get("/readyz").json["checks"][0]["detail"] == "StorageUnavailable"
    told = client_with(details=True).simulate_get("/readyz").json["checks"][0]["detail"]
    assert told == "StorageUnavailable: no route to db.example as user app"


def test_a_draining_process_is_unready_and_asks_nothing(client, services):
    services.draining = True
    services.offer("database", refuse)
    answer = client.simulate_get("/readyz")
    assert answer.status_code == 503
    assert answer.json == {"status": "draining", "checks": []}


def test_a_draining_process_is_alive(client, services):
    services.draining = True
    assert client.simulate_get("/healthz").status_code == 200


def test_a_hanging_check_fails_after_its_timeout_and_holds_one_thread(client, services):
    release = threading.Event()
    calls = []

    def hang(_):
        calls.append(threading.current_thread())
        release.wait()

    services.checks = [("shop", Check(name="stuck", fn=hang, timeout=0.02))]
    for _ in range(3):
        answer = client.simulate_get("/readyz")
        assert answer.status_code == 503
        assert answer.json["checks"][0]["detail"] == "no answer within 0.02 s"
    release.set()
    calls[0].join()
    assert len(calls) == 1


def test_a_timeout_raised_by_a_check_is_its_failure_and_not_ours(client, services):
    def slow_server(_):
        raise TimeoutError("upstream")

    services.checks = [("shop", Check(name="upstream", fn=slow_server))]
    (result,) = client.simulate_get("/readyz").json["checks"]
    assert result["detail"] == "TimeoutError"


def test_a_check_that_exits_fails_and_can_be_asked_again(client, services):
    services.checks = [("shop", Check(name="exit", fn=lambda _: sys.exit(3)))]
    for _ in range(2):
        (result,) = client.simulate_get("/readyz").json["checks"]
        assert result["detail"] == "RuntimeError"


def test_a_failure_is_logged_when_it_begins_and_when_it_ends(client, services, caplog):
    caplog.set_level(logging.INFO, logger="rolehost.ops")
    services.offer("database", refuse)
    client.simulate_get("/readyz")
    client.simulate_get("/readyz")
    services.database.ping = lambda: None
    client.simulate_get("/readyz")
    assert [record.getMessage() for record in caplog.records] == [
        "check database of fake fails: StorageUnavailable: no route to db.example as user app",
        "check database of fake passes again",
    ]


def test_the_routes_stand_under_the_prefix(client_with):
    client = client_with(prefix="/internal")
    assert client.simulate_get("/internal/healthz").status_code == 200
    assert client.simulate_get("/healthz").status_code == 404


def test_probes_may_ask_without_wanting_the_body(client, services):
    assert client.simulate_head("/healthz").status_code == 200
    services.draining = True
    answer = client.simulate_head("/readyz")
    assert (answer.status_code, answer.content) == (503, b"")
