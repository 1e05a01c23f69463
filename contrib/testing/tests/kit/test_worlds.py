"""Several hosts in one test: apart from each other, or in one world; and on real backends."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from rolehost.api import PLUGIN_API, ConfigurationError, PluginInfo, Route, hookimpl
from rolehost.storage import Database
from rolehost_testing.kit import open_host
from rolehost_testing.kit.selecting import name_of, selected

from contrib.testing.tests.kit import shop


def test_two_hosts_know_nothing_of_each_other(open_shop):
    one, two = open_shop(), open_shop()
    one.client.post("/orders", json={"item": "pear"})
    two.client.post("/orders", json={"item": "plum"})
    two.client.post("/orders", json={"item": "fig"})
    two.drain()
    one.clock.advance(60)
    assert one.services and [each.item for each in shop.Order.select()] == ["pear"]
    assert two.services and [each.item for each in shop.Order.select()] == ["plum", "fig"]
    assert [each.state for each in one.enqueued] == ["available"]
    assert [each.state for each in two.enqueued] == ["completed"] * 2
    assert one.clock.now() != two.clock.now()


def test_an_api_and_a_worker_share_a_world(host):
    api = host({"shop": shop}, name="api", roles=["http"])
    worker = host({"shop": shop}, name="worker", beside=api, roles=["worker"])
    events = host({"shop": shop}, name="events", beside=api, roles=["consumer", "scheduler"])
    api.client.post("/orders", json={"item": "pear"})
    assert api.drain(with_delays=True) == []
    assert worker.drain().names == ["shop.mail"]
    assert events.advance(3600).names == ["shop.stock"]
    assert worker.drain().names == ["shop.clean"]
    api.assert_published("shop.sold")
    assert worker.assert_enqueued(shop.mail).state == "completed"
    with pytest.raises(RuntimeError, match="role http"):
        worker.client.get("/orders")
    with pytest.raises(ValueError, match="web: no role; there are http"):
        host({"shop": shop}, roles=["web"])


def test_models_are_restored_and_no_thread_is_left():
    before = shop.Order._meta.database, threading.active_count()
    with open_host({"shop": shop}) as here:
        here.client.post("/orders", json={"item": "pear"})
        assert shop.Order._meta.database is here.services.database.peewee
    assert (shop.Order._meta.database, threading.active_count()) == before


def test_chance_and_time_are_the_same_in_every_run(open_shop):
    now = datetime(2030, 1, 1, tzinfo=UTC)
    one, two = open_shop(now=now, seed=3), open_shop(now=now, seed=3)
    for here in (one, two):
        here.client.post("/orders", json={"item": "pear"})
    assert one.published == two.published
    assert one.clock.moment == now
    assert one.services.random.random() == two.services.random.random()


def test_settings_of_plugins_and_host_are_those_of_the_test(open_shop):
    here = open_shop(settings={"shop": {"greeting": "good day"}, "delivery": {"lease": 60.0}})
    here.client.post("/orders", json={"item": "pear"})
    here.drain()
    assert shop.Mailer.sent == ["good day pear"]
    assert here.composition.deployment.host.delivery.lease == 60.0
    assert here.composition.deployment.host.deployment.environment == "test"


def test_settings_may_be_an_object_of_their_type(open_shop, tmp_path):
    here = open_shop(settings={"shop": shop.ShopSettings(greeting="ho", folder=tmp_path)})
    assert here.services.settings("shop") == shop.ShopSettings("ho", tmp_path)


def test_each_host_writes_to_a_separate_folder(open_shop, host):
    here = open_shop(settings={"shop": {"folder": "kept"}})
    folder = here.services.settings("shop").folder
    runtime = here.services.runtime_directory
    assert folder.parent.exists() and runtime.exists()
    host.close()
    assert not folder.parent.exists() and not runtime.exists()


def test_a_degraded_plugin_answers_503_and_is_logged(host):
    class Greeting:
        async def on_get(self, req, resp):
            resp.media = "hello"

    class Optional:
        @hookimpl
        def rolehost_plugin(self):
            return PluginInfo(api=PLUGIN_API)

        @hookimpl
        def rolehost_routes(self):
            return [Route("/optional", Greeting())]

        @hookimpl
        def rolehost_start(self):
            raise shop.Boom("not today")

    here = host({"optional": Optional()}, settings={"on_failure": {"optional": "degrade"}})
    assert here.client.get("/optional").status == 503
    with pytest.raises(ValueError, match="neither abort nor degrade"):
        host({"optional": Optional()}, settings={"on_failure": {"optional": "degarde"}})


@pytest.mark.parametrize(
    ("settings", "reported"),
    [({"shop": {"greetng": "x"}}, "greetng"), ({"delivery": {"leese": 1}}, "leese")],
)
def test_wrong_settings_are_refused_as_those_of_a_file(open_shop, settings, reported):
    with pytest.raises(ConfigurationError, match=reported):
        open_shop(settings=settings)


def test_a_failed_start_leaves_nothing_behind(host):
    class Broken:
        @hookimpl
        def rolehost_plugin(self):
            return PluginInfo(api=1, requires=("database",))

        @hookimpl
        def rolehost_start(self):
            raise shop.Boom("at the start")

    with pytest.raises(Exception, match="at the start"):
        host([Broken()])


def test_a_plugin_without_storage_needs_none(host):
    class Small:
        @hookimpl
        def rolehost_plugin(self):
            return PluginInfo(api=1)

    here = host([Small()])
    assert here.composition.plugins[-1].name == "small"
    assert (here.published, here.drain(), here.advance(60)) == ([], [], [])


def test_plugins_are_named_by_their_module_or_class():
    assert name_of(shop) == "shop"
    assert selected(["memory", ("x", shop), shop])[0] == ("memory", "x", "shop")
    with pytest.raises(ValueError, match="two plugins are named shop"):
        selected([shop, ("shop", shop)])


@pytest.mark.needs("rolehost_embedded")
def test_a_module_that_is_installed_is_the_plugin_of_its_entry_point():
    import rolehost_embedded

    targets = selected([rolehost_embedded])
    assert targets[0] == ("embedded",)


@pytest.mark.needs("rolehost_embedded")
@pytest.mark.needs("rolehost_ops")
def test_a_deployment_has_its_plugins_and_settings_and_storage_in_memory(host, tmp_path):
    file = tmp_path / "api.toml"
    file.write_text(
        'plugins = ["embedded", "ops"]\n[deployment]\nenvironment = "production"\n'
        "[embedded]\npath = 'never.db'\n[delivery]\npoll = 7.0\n"
    )
    here = host(file)
    assert here.client.get("/healthz").status == 200
    assert set(here.services.backends.values()) <= {"memory"}
    assert here.composition.deployment.host.delivery.poll == 7.0
    assert here.composition.deployment.name == "api"
    assert not (tmp_path / "never.db").exists()
    with pytest.raises(ValueError, match="its own settings"):
        host(file, settings={"ops": {}})


@pytest.mark.needs("rolehost_embedded")
def test_temporary_backends_are_real_ones_in_a_folder_that_goes(open_shop, host):
    here = open_shop(backends="temporary")
    path = here.services.settings("embedded").path
    assert path.exists()
    here.client.post("/orders", json={"item": "dud"})
    here.services.send(shop.ping, text="x")
    here.drain(with_delays=True)
    assert shop.Mailer.sent == ["ping x", "hello dud"]
    assert shop.Order.get().stamped == 1
    beside = host({"shop": shop}, beside=here, name="beside")
    assert beside.enqueued == here.enqueued
    with here.fail_at("work.after_commit", kill=True):
        here.client.post("/orders", json={"item": "plum"})
    here.restart()
    here.drain()
    assert shop.Order.select().where(shop.Order.stamped == 1).count() == 2
    host.close()
    assert not path.exists()


@pytest.mark.needs("rolehost_postgres")
def test_postgresql_is_a_schema_of_its_own_with_the_rest_in_memory(host, postgres_url):
    settings = {"postgres": {"url": postgres_url}, "storage": {"queue": "memory"}}
    here = host(
        {"shop": shop},
        backends=("postgres", "memory"),
        settings=settings,
    )
    database: Database = here.services.database
    (schema,) = database.read("SELECT current_schema()")[0]
    assert schema.startswith("test_")
    assert here.services.backends["stream"] == "memory"
    here.services.enqueue(shop.clean)
    assert here.drain().names == ["shop.clean"]
    host.close()
    other = host(
        {"shop": shop},
        backends=("postgres", "memory"),
        settings=settings,
    )
    rows = other.services.database.read(
        "SELECT count(*) FROM information_schema.schemata WHERE schema_name = ?", (schema,)
    )
    assert rows == [(0,)]
