"""Async code of the ``http`` role: it does not touch the database, and ``services.run`` does."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import falcon
import pytest
from rolehost.api import (
    Complete,
    DatabaseMisused,
    Event,
    Middleware,
    PluginInfo,
    RetryPolicy,
    Route,
    actor,
    handler,
    hookimpl,
)
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

MINE: ContextVar[str] = ContextVar("mine", default="")


ACTORS = ("async.noop", "async.waits")


@actor(name="async.noop")
def noop(job):
    pass


def record(job, text):
    """Enqueue a job; ``job`` may be the context of a handler."""
    with job.services.unit_of_work() as work:
        work.enqueue(noop)
    if text == "fails" and job.attempt == 1:
        raise ValueError(text)


@actor(name="async.waits", retry=RetryPolicy(attempts=2, base=0.1))
async def waits(job, text: str):
    await asyncio.sleep(0)
    if text == "misuses":
        job.services.database.read("SELECT 1")
    return Complete(record, job, await job.services.run(str.lower, text))


class Plugin:
    """The routes and middleware of one test."""

    def __init__(self, resource, middleware=()):
        self._resource, self._middleware = resource, middleware

    @hookimpl
    def rolehost_plugin(self):
        return PluginInfo(api=2, summary="async", requires=("database",), enqueues=ACTORS)

    @hookimpl
    def rolehost_actors(self):
        return [noop, waits]

    @hookimpl
    def rolehost_routes(self):
        return [Route("/it", self._resource)]

    @hookimpl
    def rolehost_middleware(self):
        return [Middleware(name="stamp", component=each) for each in self._middleware]


@pytest.fixture(params=["memory", "temporary"])
def app(request, host):
    return lambda resource, *middleware: host(
        {"async": Plugin(resource, middleware)}, backends=request.param
    )


def refused(here, method="PUT"):
    """Send a request that must be refused; return why."""
    with capture_logs() as lines:
        assert here.client.request(method, "/it").status == 500
    [error] = [line["exc_info"] for line in lines if line.get("exc_info")]
    assert isinstance(error, DatabaseMisused)
    here.refute_enqueued("async.noop")
    return str(error)


def test_an_async_responder_that_opens_a_unit_of_work_is_refused_and_named(app):
    class Resource:
        async def on_put(self, req, resp):
            with req.context.services.unit_of_work() as work:
                work.enqueue(noop)

    text = refused(app(Resource()))
    assert "async responder" in text
    assert "Resource.on_put (contrib.testing.tests.kit.test_async_code:" in text
    assert "await services.run(function" in text


def test_a_call_by_an_async_responder_is_named_with_the_responder(app):
    def helper(services):
        services.enqueue(noop)

    class Resource:
        async def on_put(self, req, resp):
            helper(req.context.services)

    text = refused(app(Resource()))
    assert "Resource.on_put (" in text
    assert "helper (" in text


def test_a_task_of_an_async_responder_is_refused(app):
    class Resource:
        async def on_put(self, req, resp):
            async def later():
                req.context.services.enqueue(noop)

            await asyncio.create_task(later())

    assert "later (" in refused(app(Resource()))


def test_an_event_stream_is_refused(app):
    async def events(services):
        services.enqueue(noop)
        yield None

    class Resource:
        async def on_put(self, req, resp):
            resp.sse = events(req.context.services)

    here = app(Resource())
    with pytest.raises(DatabaseMisused, match=r"events \("):
        here.client.put("/it")
    here.refute_enqueued("async.noop")


def test_async_middleware_is_refused_and_named(app):
    class Resource:
        def on_put(self, req, resp):
            pass

    class Stamp:
        async def process_request(self, req, resp):
            req.context.services.enqueue(noop)

    text = refused(app(Resource(), Stamp()))
    assert "async middleware" in text
    assert "Stamp.process_request (" in text


def test_another_thread_of_an_async_responder_has_its_own_unit_of_work(app):
    class Resource:
        async def on_put(self, req, resp):
            await asyncio.to_thread(req.context.services.enqueue, noop)

    here = app(Resource())
    assert here.client.put("/it").status == 200
    here.assert_enqueued("async.noop")


def test_run_calls_a_function_in_a_thread_with_the_callers_context(app):
    seen = {}

    def store(services, name, *, fails):
        seen["name"] = name
        seen["mine"] = MINE.get()
        seen["request_id"] = get_contextvars().get("request_id")
        seen["thread"] = threading.current_thread().name
        with services.unit_of_work() as work:
            work.enqueue(noop)
            if fails:
                raise falcon.HTTPConflict(title="no")
        return 7

    class Resource:
        async def on_put(self, req, resp):
            MINE.set("yes")
            services = req.context.services
            fails = req.get_param_as_bool("fails", default=False)
            resp.media = await services.run(store, services, "n", fails=fails)

    here = app(Resource())
    assert here.client.put("/it?fails=true").status == 409
    here.refute_enqueued("async.noop")
    answer = here.client.put("/it")
    assert answer.json == 7
    here.assert_enqueued("async.noop")
    assert seen["name"] == "n"
    assert seen["mine"] == "yes"
    assert seen["request_id"] == answer.headers["x-request-id"]
    assert seen["thread"].startswith("run")


def test_run_refuses_a_coroutine_function(app):
    class Resource:
        async def on_put(self, req, resp):
            with pytest.raises(TypeError, match="coroutine function"):
                await req.context.services.run(asyncio.sleep, 0)

    assert app(Resource()).client.put("/it").status == 200


def test_a_function_runs_to_its_end_when_its_caller_is_cancelled(app):
    began, leave, ended = threading.Event(), threading.Event(), threading.Event()

    def store(services):
        with services.unit_of_work() as work:
            work.enqueue(noop)
            began.set()
            leave.wait(20)
        ended.set()

    class Resource:
        async def on_put(self, req, resp):
            services = req.context.services
            task = asyncio.create_task(services.run(store, services))
            await asyncio.to_thread(began.wait, 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            leave.set()

    here = app(Resource())
    assert here.client.put("/it").status == 200
    assert ended.wait(20)
    here.assert_enqueued("async.noop")


def test_closing_waits_for_functions_that_run(app):
    began, ended = threading.Event(), threading.Event()

    def store(services):
        began.set()
        with services.unit_of_work() as work:
            work.enqueue(noop)
        ended.set()

    class Resource:
        async def on_put(self, req, resp):
            task = asyncio.create_task(req.context.services.run(store, req.context.services))
            await asyncio.to_thread(began.wait, 20)
            task.cancel()

    here = app(Resource())
    assert here.client.put("/it").status == 200
    here.restart()
    assert ended.is_set()


def test_too_many_waiting_calls_are_refused_with_503(app):
    leave = threading.Event()

    class Resource:
        async def on_put(self, req, resp):
            run = req.context.services.run
            waiting = [asyncio.create_task(run(leave.wait, 20)) for _ in range(8 * 33)]
            await asyncio.sleep(0)
            try:
                await run(leave.wait, 20)
            finally:
                leave.set()
                await asyncio.gather(*waiting)

    answer = app(Resource()).client.put("/it")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"


def test_a_loop_on_a_thread_of_run_does_not_wait_for_another_thread(app):
    def nested(services):
        return asyncio.run(services.run(lambda: threading.current_thread().name))

    class Resource:
        async def on_put(self, req, resp):
            services = req.context.services
            names = await asyncio.gather(*(services.run(nested, services) for _ in range(20)))
            assert all(name.startswith("run") for name in names)

    assert app(Resource()).client.put("/it").status == 200


@pytest.mark.parametrize(
    ("text", "outcomes"),
    [
        ("Holds", {"completed": 2}),
        ("Fails", {"retrying": 1, "completed": 2}),
        ("misuses", {"retrying": 1, "dead": 1}),
    ],
)
def test_a_job_of_an_asynchronous_actor_runs_to_its_end(app, text, outcomes):
    class Resource:
        def on_put(self, req, resp):
            req.context.services.enqueue(waits, text=text)

    here = app(Resource())
    here.client.put("/it")
    assert here.drain(with_delays=True, raises=False).outcomes == outcomes


@pytest.mark.parametrize(
    ("text", "outcomes"),
    [
        ("Holds", {"handled": 1, "completed": 1}),
        ("Fails", {"handled": 1, "completed": 1}),
        ("misuses", {"dead": 1}),
    ],
)
def test_an_event_of_an_asynchronous_handler_is_handled(host, text, outcomes):
    @handler(topic="texts", group="g", payload=str, retry=RetryPolicy(attempts=2, base=0.1))
    async def on(context, event):
        return await waits.fn(context, event.data)

    class Handlers:
        @hookimpl
        def rolehost_plugin(self):
            return PluginInfo(api=2, requires=("database", "stream"), enqueues=("async.noop",))

        @hookimpl
        def rolehost_actors(self):
            return [noop]

        @hookimpl
        def rolehost_handlers(self):
            return [on]

    here = host({"async": Handlers()})
    here.publish(Event(topic="texts", type="text", data=text))
    ran = here.drain(raises=False)
    assert ran.outcomes == outcomes
    if text == "misuses":
        assert isinstance(ran[0].error, DatabaseMisused)
