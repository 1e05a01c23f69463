"""Order, conflicts, storage and roles of a composition."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rolehost.api import (
    PLUGIN_API,
    DeclareContext,
    ErrorFormat,
    JobQueue,
    Limits,
    Migrations,
    PluginInfo,
    Route,
    Schedule,
    Secret,
    Settings,
    actor,
    handler,
    hookimpl,
)
from rolehost.composition import Composition, compose, examine
from rolehost.composition.limits import deployed
from rolehost.deployment import read
from rolehost.deployment.model import Origin
from rolehost.errors import ConfigurationError, Problem

from tests.host.installed import backends, plugin


@actor(name="work")
def work(job: Any, size: int = 1) -> None:
    """Do nothing."""


@actor(name="quick", durable=False)
def quick(services: Any) -> None:
    """Do nothing."""


@handler(topic="orders", group="billing")
def on_order(context: Any, event: Any) -> None:
    """Do nothing."""


class Things:
    async def on_get(self, req: Any, resp: Any) -> None: ...

    async def on_post_new(self, req: Any, resp: Any) -> None: ...


class Named:
    async def on_get(self, req: Any, resp: Any, **names: str) -> None: ...


def info(**fields: Any) -> PluginInfo:
    return PluginInfo(api=PLUGIN_API, **fields)


def composed(environ: dict[str, str] | None = None, **plugins: Any) -> Composition:
    return compose(deployment(environ, plugins), extra=plugins)


def mistakes(environ: dict[str, str] | None = None, **plugins: Any) -> list[Problem]:
    composition, problems = examine(deployment(environ, plugins), extra=plugins)
    assert (composition is None) == bool(problems)
    return list(problems)


def deployment(environ: dict[str, str] | None, plugins: Any) -> Any:
    return read(None, plugins=list(plugins), environ=environ or {})[0]


STORAGE = plugin(backends=backends(queue="ephemeral", stream="consumer-groups"))

RATE = Limits(rate=50, burst=100)


def test_an_empty_deployment_composes_to_nothing():
    composition = composed()
    assert (composition.plugins, composition.roles, composition.backends) == ((), (), {})


def test_contributions_decide_the_roles():
    composition = composed(
        memory=STORAGE,
        a=plugin(actors=[work], routes=[Route("/things", Things())]),
        b=plugin(handlers=[on_order], schedules=[Schedule(name="s", actor=work, every=1.0)]),
    )
    assert composition.roles == ("http", "scheduler", "consumer", "worker")
    assert composition.actors["work"].plugin == "a"
    assert composition.actors["work"].location.startswith("tests.host.test_composition:")


def limited(**settings: str) -> Composition:
    """Compose two actors of one queue; keywords are settings in the environment."""

    @actor(name="shop.deliver", queue=JobQueue("mail", Limits(concurrency=8)), limits=RATE)
    def deliver(job, endpoint: str): ...

    @actor(name="other", queue="mail")
    def other(job): ...

    environ = {f"ROLEHOST__{name}": value for name, value in settings.items()}
    return composed(environ, memory=STORAGE, a=plugin(actors=[deliver, other]))


def test_the_limits_of_a_queue_are_those_of_any_of_its_actors():
    assert limited().actors["other"].value.queue_limits == Limits(concurrency=8)


def test_the_deployment_overrides_limits_key_by_key():
    composition = limited(
        ACTORS__SHOP__DELIVER__CONCURRENCY="4",
        ACTORS__SHOP__DELIVER__GROUPED="true",
        QUEUES__MAIL__RATE="2.5",
    )
    changed = composition.actors["shop.deliver"].value
    assert changed.limits == Limits(concurrency=4, rate=50, burst=100)
    assert changed.grouped
    assert changed.queue_limits == Limits(concurrency=8, rate=2.5)
    assert composition.actors["other"].value.queue_limits == changed.queue_limits
    assert deployed(composition.deployment.host) == {"actor:shop.deliver", "queue:mail"}


def test_limits_of_partitions_that_no_actor_declares_are_a_warning():
    composition = limited(ACTORS__SHOP__DELIVER__PARTITION_CONCURRENCY="2")
    [warning] = composition.warnings
    assert (warning.code, warning.got) == ("limits-without-partitions", "partition_concurrency")
    assert composition.actors["shop.deliver"].value.partition_limits == Limits(concurrency=2)


def test_dependencies_come_first_and_ties_keep_the_order_of_the_file():
    composition = composed(
        c=plugin(info(depends=("a",))), b=plugin(), a=plugin(info(after=("b", "gone")))
    )
    assert [each.name for each in composition.plugins] == ["b", "a", "c"]


NAMES = [f"p{number}" for number in range(6)]


@settings(deadline=None)
@given(st.permutations(NAMES), st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_any_relations_without_a_cycle_are_kept(order, pairs):
    after: dict[str, tuple[str, ...]] = {
        name: tuple(NAMES[low] for low, high in sorted(pairs) if low < high == number)
        for number, name in enumerate(NAMES)
    }
    plugins = {name: plugin(info(after=after[name])) for name in order}
    result = [each.name for each in composed(**plugins).plugins]
    assert sorted(result) == NAMES
    for name in NAMES:
        assert all(result.index(first) < result.index(name) for first in after[name])


def test_only_storage_that_something_needs_is_chosen():
    assert composed(memory=STORAGE).backends == {}
    assert list(composed(memory=STORAGE, a=plugin(actors=[quick])).backends) == ["queue"]
    assert list(composed(memory=STORAGE, a=plugin(actors=[work])).backends) == [
        "database",
        "queue",
    ]
    migrations = [Migrations(package="x")]
    assert list(composed(memory=STORAGE, a=plugin(migrations=migrations)).backends) == ["database"]
    publishing = plugin(info(publishes=("orders",)))
    assert list(composed(memory=STORAGE, a=publishing).backends) == ["database", "stream"]
    needing = plugin(info(requires=("cache",)))
    assert list(composed(memory=STORAGE, a=needing).backends) == ["cache"]


class Post(Settings, frozen=True):
    topic: str = "mail"


def test_topics_of_the_settings_are_published_like_those_of_the_plugin():
    @hookimpl
    def topics(context: DeclareContext) -> list[str]:
        return [context.settings.topic, "orders"]

    given = plugin(info(settings=Post, publishes=("orders",)))
    given.rolehost_topics = topics
    composition = composed({"ROLEHOST__A__TOPIC": "post"}, memory=STORAGE, a=given)
    assert composition.publishes == {"orders", "post"}
    assert composition.plugin("a").info.publishes == ("orders", "post")
    only = plugin(topics=["orders"])
    assert list(composed(memory=STORAGE, a=only).backends) == ["database", "stream"]


def test_a_backend_chosen_by_name_is_taken_even_if_nothing_needs_it():
    other = plugin(backends=backends("other"))
    composition = composed({"ROLEHOST__STORAGE__CACHE": "other"}, memory=STORAGE, other=other)
    assert composition.backends["cache"].plugin == "other"


def test_a_missing_chosen_backend_is_an_error_only_if_its_kind_is_needed_or_offered():
    chosen = {"ROLEHOST__STORAGE__CACHE": "other"}
    assert composed(chosen, a=plugin()).backends == {}
    for plugins in ({"memory": STORAGE}, {"a": plugin(info(requires=("cache",)))}):
        assert "unknown-backend" in {problem.code for problem in mistakes(chosen, **plugins)}


def test_plugins_may_share_migrations_only_under_one_owner():
    shared = plugin(migrations=[Migrations(package="x", owner="shop")])
    composition = composed(
        memory=STORAGE, a=shared, b=plugin(migrations=[*shared.rolehost_migrations()])
    )
    assert composition.schema_sets == (("shop", "x"),)
    alone = {name: plugin(migrations=[Migrations(package="x")]) for name in ("a", "b")}
    (problem,) = mistakes(memory=STORAGE, **alone)
    assert problem.code == "shared-migrations"
    two = plugin(migrations=[Migrations(package="x"), Migrations(package="y")])
    (problem,) = mistakes(memory=STORAGE, a=two)
    assert problem.code == "duplicate-migrations"


def test_an_ephemeral_actor_needs_a_queue_that_carries_messages():
    (problem,) = mistakes(memory=plugin(backends=backends()), a=plugin(actors=[quick]))
    assert problem.code == "missing-capability"
    assert "queue[ephemeral]" in problem.expected


def test_one_path_may_be_shared_by_suffixes_whose_methods_differ():
    things = Things()
    routes = [Route("/things", things), Route("/things", things, suffix="new")]
    assert len(composed(a=plugin(routes=routes)).routes) == 2


def test_all_owners_of_a_route_are_reported_at_once():
    (problem,) = mistakes(
        **{name: plugin(routes=[Route("/things/{id}", Named())]) for name in ("a", "b", "c")}
    )
    assert problem.code == "duplicate-route"
    assert problem.where.count("tests.host.test_composition:") == 3
    assert all(f"{name} at" in problem.got for name in ("a", "b", "c"))


def test_a_segment_with_letters_beside_its_variable_is_another_segment():
    routes = [Route("/t/{id}", Named()), Route("/t/{name}.json", Named())]
    assert len(composed(a=plugin(routes=routes)).routes) == 2


def test_an_actor_of_another_deployment_may_be_scheduled_when_it_is_declared():
    schedule = Schedule(name="s", actor="elsewhere", every=1.0)
    declaring = plugin(info(enqueues=("elsewhere",)), schedules=[schedule])
    assert composed(memory=STORAGE, a=declaring).roles == ("scheduler",)


def test_a_broken_plugin_is_not_missed_a_second_time():
    broken = SimpleNamespace()
    problems = mistakes(memory=broken, a=plugin(actors=[work]))
    assert [problem.code for problem in problems] == ["no-plugin-hook"]


def test_the_order_of_errors_does_not_depend_on_the_plugins():
    one = {"a": plugin(actors=[work]), "b": plugin(actors=[work])}
    problems = mistakes(**one)
    assert [str(each) for each in problems] == [str(each) for each in mistakes(**one)]
    places = [problem.where for problem in problems]
    assert places == sorted(places)


class Mail(Settings, frozen=True):
    server: str = "localhost"
    password: Secret = Secret("")
    spool: Path = Path("spool")


def test_plugins_get_typed_settings_and_every_value_has_an_origin():
    seen = []

    def routes(context: Any) -> list[Route]:
        seen.append(context)
        return []

    given = plugin(info(settings=Mail))
    from rolehost.api import hookimpl

    given.rolehost_routes = hookimpl(routes)
    environ = {"ROLEHOST__MAIL__PASSWORD": "hush"}
    composition = composed(environ, mail=given)
    expected = Mail(password=Secret("hush"), spool=Path.cwd() / "spool")
    assert composition.plugin("mail").settings == expected
    assert (seen[0].settings, seen[0].plugin) == (expected, "mail")
    origins = composition.deployment.origins
    assert origins["mail.password"] == Origin("environment ROLEHOST__MAIL__PASSWORD", secret=True)
    assert origins["mail.server"] == Origin("default")
    assert origins["http.bind"] == Origin("default")


def test_a_claim_about_roles_holds_exactly():
    claims = {"ROLEHOST__DEPLOYMENT__ROLES": '["worker"]'}
    assert composed(claims, memory=STORAGE, a=plugin(actors=[work])).roles == ("worker",)
    (problem,) = mistakes(claims, memory=STORAGE)
    assert problem.code == "role-missing"


def test_a_hook_returns_error_formats_together_with_routes():
    given = ErrorFormat("/api", lambda *_: ("", b""))
    composition = composed(a=plugin(routes=[Route("/api", Things()), given]))
    assert composition.error_formats[0].value is given
    assert len(composition.routes) == 1


def test_compose_raises_every_error():
    with pytest.raises(ConfigurationError) as raised:
        composed(a=plugin(actors=[work]), b=plugin(info(depends=("none",))))
    codes = {problem.code for problem in raised.value.problems}
    assert codes == {"missing-storage", "missing-dependency"}


def test_sections_of_plugins_that_an_override_left_out_may_stay(tmp_path):
    path = tmp_path / "rolehost.toml"
    path.write_text('plugins = ["gone"]\n[gone]\nx = 1\n[never]\ny = 1\n')
    deployment, _ = read(path, plugins=["a"], environ={})
    _, problems = examine(deployment, extra={"a": plugin()})
    assert [problem.got for problem in problems] == ["[never]"]
