"""Plugins that fail in a process: at start and at stop."""

from __future__ import annotations

import asyncio
import threading

import pytest
from rolehost.api import (
    Backend,
    PluginInfo,
    Route,
    hookimpl,
)
from rolehost.composition import compose
from rolehost.deployment import load
from rolehost.errors import StartError, StorageUnavailable
from rolehost.roles.http.application import build
from rolehost.roles.process import Process

from tests.host.installed import plugin
from tests.http.asgi import call


class Fragile:
    """Hooks that fail as the test wants; keeps which were called."""

    def __init__(self, **faults) -> None:
        self.faults = faults
        self.called: list[str] = []

    def _hook(self, name: str, context) -> None:
        self.called.append(name)
        fault = self.faults.get(name)
        if fault == "hangs":
            threading.Event().wait(60)
        elif fault is not None:
            raise fault

    @hookimpl
    def rolehost_plugin(self):
        return self.faults.get("info") or PluginInfo(api=2)

    @hookimpl
    def rolehost_start(self, context):
        self._hook("start", context)

    @hookimpl
    def rolehost_stop(self, context):
        self._hook("stop", context)


def composed(folder, plugins, degrade=(), more=""):
    path = folder / "rolehost.toml"
    lines = "".join(f'{name} = "degrade"\n' for name in degrade)
    limits = "[limits]\nstart = 0.2\nstop = 0.2\n"
    names = [*(["embedded"] if more else []), *plugins]
    path.write_text(f"plugins = {names}\n{limits}[on_failure]\n{lines}{more}")
    return compose(load(path, environ={}), extra=plugins)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (ValueError("no luck"), "rolehost_start raised ValueError: no luck"),
        (SystemExit(7), "rolehost_start raised SystemExit: 7"),
        (StartError("no luck"), "rolehost_start raised StartError: no luck"),
        (GeneratorExit(), "rolehost_start raised GeneratorExit"),
        ("hangs", "rolehost_start did not end: interrupted after 0.2 seconds, [limits] start"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_start_that_fails_ends_the_process_and_names_the_plugin(tmp_path, fault, words):
    shop, other = Fragile(start=fault), Fragile()
    process = Process(composed(tmp_path, {"other": other, "shop": shop}), role="worker")
    with pytest.raises(StartError) as raised:
        process.start()
    assert f"plugin shop (given in code -): {words}" in str(raised.value)
    assert "remove shop from plugins" in str(raised.value)
    assert (shop.called, other.called) == (["start", "stop"], ["start", "stop"])


@pytest.mark.parametrize("fault", [ValueError("no luck"), SystemExit(7), "hangs"], ids=str)
def test_a_start_that_may_fail_leaves_the_plugin_out(tmp_path, fault):
    shop, other = Fragile(start=fault), Fragile()
    composition = composed(tmp_path, {"shop": shop, "other": other}, ["shop"])
    process = Process(composition, role="worker")
    process.start()
    assert list(process.services.degraded) == ["shop"]
    assert [each.name for each in process.composition.plugins] == ["other"]
    process.drain()
    process.stop()
    assert shop.called == ["start", "stop"]
    assert other.called == ["start", "stop"]


def test_dependents_of_a_failed_plugin_are_not_started(tmp_path):
    shop, cart = Fragile(start=ValueError()), Fragile(info=PluginInfo(api=2, depends=("shop",)))
    composition = composed(tmp_path, {"shop": shop, "cart": cart}, ["shop", "cart"])
    process = Process(composition, role="worker")
    process.start()
    assert sorted(process.services.degraded) == ["cart", "shop"]
    assert "start" not in cart.called
    process.stop()


def test_an_unavailable_backend_is_still_waited_for(tmp_path):
    shop = Fragile(start=StorageUnavailable("no route"))
    process = Process(composed(tmp_path, {"shop": shop}, ["shop"]), role="worker")
    with pytest.raises(StorageUnavailable):
        process.start()
    shop.faults = {}
    process.start()
    assert process.services.degraded == {}
    process.stop()


def absent():
    raise ImportError("no module named driver")


def cached(folder, *degrade):
    backend = Backend(kind="cache", name="mine", factory=absent, capabilities=frozenset())
    info = PluginInfo(api=2, requires=("cache",))
    plugins = {"memory": plugin(backends=[backend]), "shop": Fragile(info=info)}
    return composed(folder, plugins | {"other": Fragile()}, degrade)


def test_a_backend_that_cannot_be_created_is_named_with_its_plugin(tmp_path):
    process = Process(cached(tmp_path), role="worker")
    with pytest.raises(StartError) as raised:
        process.ping()
    words = "plugin memory (given in code -): its cache backend mine raised ImportError"
    assert words in str(raised.value)


def test_a_plugin_whose_backend_cannot_be_created_is_degraded_with_its_dependents(tmp_path):
    process = Process(cached(tmp_path, "memory", "shop"), role="worker")
    process.ping()
    process.start()
    assert sorted(process.services.degraded) == ["memory", "shop"]
    assert [each.name for each in process.composition.plugins] == ["other"]
    assert process.services.backends == {}
    process.stop()


def test_services_and_recorders_of_a_failed_start_are_taken_back(tmp_path):
    class Mail:
        """A service."""

    class Recorder:
        def degraded(self, name):
            reported.append(name)

    @hookimpl
    def half(context):
        context.services.register(Mail, lambda _: Mail())
        context.record(Recorder())
        raise ValueError("half a start")

    @hookimpl
    def whole(context):
        context.record(Recorder())

    reported: list[str] = []
    shop, other = plugin(), plugin()
    shop.rolehost_start, other.rolehost_start = half, whole
    process = Process(composed(tmp_path, {"shop": shop, "other": other}, ["shop"]), role="worker")
    process.start()
    with pytest.raises(LookupError):
        process.services.get(Mail)
    assert reported == ["shop"]
    process.stop()


@pytest.mark.parametrize("fault", [ValueError("no luck"), SystemExit(7), "hangs"], ids=str)
def test_an_error_of_one_plugin_at_the_end_does_not_skip_the_others(tmp_path, fault):
    first, shop, last = Fragile(), Fragile(stop=fault), Fragile()
    process = Process(
        composed(tmp_path, {"first": first, "shop": shop, "last": last}), role="worker"
    )
    process.start()
    process.drain()
    process.stop()
    assert first.called == shop.called == last.called == ["start", "stop"]


def test_the_routes_of_a_degraded_plugin_answer_503_and_the_others_are_served(tmp_path):
    class Thing:
        async def on_get(self, req, resp, **_):
            resp.media = "here"

        on_post = on_get

    shop = plugin(routes=[Route("/shop/{thing}", Thing())])
    shop.rolehost_start = hookimpl(lambda context: 1 / 0)
    other = plugin(routes=[Route("/other", Thing())])
    composition = composed(tmp_path, {"shop": shop, "other": other}, ["shop"])
    process = Process(composition, role="http")
    process.start()
    application = build(
        process.composition,
        process.services,
        process.services.recorders,
        composition.deployment.host,
    )

    async def ask():
        return [
            await call(application.asgi, method, path)
            for method, path in (("GET", "/other"), ("GET", "/shop/5"), ("POST", "/shop/5"))
        ]

    served, *refused = asyncio.run(ask())
    assert served.status == 200
    for answer in refused:
        assert answer.status == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "30"
        assert answer.json["code"] == "plugin_degraded"
        assert "shop" in answer.json["detail"]
        assert "ZeroDivisionError" not in answer.body.decode()
    application.close()
    process.stop()
