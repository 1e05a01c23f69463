"""Idempotent requests: the response is stored with the effects."""

from __future__ import annotations

import pytest
from rolehost.api import actor
from rolehost.delivery.inbox import RequestScope
from rolehost.delivery.scopes import unit_of_work
from rolehost.errors import IdempotencyConflict, IdempotencyInProgress


@actor()
def plain(context, n: int = 0):
    pass


def test_a_repetition_gives_the_stored_response_and_no_second_effect(bench):
    runtime = bench.make_runtime(plain)
    with bench.database.session(), RequestScope(runtime, "k", b"print") as scope:
        assert scope.stored is None
        with unit_of_work(runtime) as work:
            work.enqueue(plain)
        scope.store(202, {"x-a": "1"}, b"{}")
    with bench.database.session(), RequestScope(runtime, "k", b"print") as scope:
        assert scope.stored == (202, {"x-a": "1"}, b"{}")
    assert bench.count("rolehost_jobs") == 1


def test_another_body_with_the_same_key_is_refused(bench):
    runtime = bench.make_runtime()
    with bench.database.session(), RequestScope(runtime, "k", b"print") as scope:
        scope.store(200, {}, b"")
    with pytest.raises(IdempotencyConflict), bench.database.session():
        with RequestScope(runtime, "k", b"other"):
            pass


def test_a_responder_that_fails_stores_nothing(bench):
    runtime = bench.make_runtime(plain)
    with pytest.raises(ValueError), bench.database.session():
        with RequestScope(runtime, "k", b"print"):
            with unit_of_work(runtime) as work:
                work.enqueue(plain)
            raise ValueError
    assert bench.count("rolehost_jobs") == bench.count("rolehost_requests") == 0


def test_the_second_of_two_concurrent_requests_gets_a_conflict(bench):
    runtime = bench.make_runtime(plain)
    with pytest.raises(IdempotencyInProgress), bench.database.session():
        with RequestScope(runtime, "k", b"print") as slow:
            with RequestScope(runtime, "k", b"print") as quick:
                quick.store(200, {}, b"")
            assert slow.stored is None
            with unit_of_work(runtime):
                raise AssertionError("must not be reached")
