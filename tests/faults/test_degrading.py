"""Degradable plugins, and plugins that must not fail."""

from __future__ import annotations

import sys

import pytest
from rolehost.api import (
    Backend,
    Metric,
    Middleware,
    PluginInfo,
    Route,
    Schedule,
    SettingRefused,
    actor,
    hookimpl,
)
from rolehost.composition import compose, examine
from rolehost.deployment import load, read
from rolehost.errors import ConfigurationError, Problem

from tests.host.installed import backends, plugin, write_plugin


class Thing:
    def on_get(self, req, resp):
        """Answer."""

    async def process_request(self, req, resp):
        """Let it pass."""


@actor()
def work(context):
    """Do nothing."""


@hookimpl
def raises():
    raise ValueError("no such luck")


def routed(name, info=None, **hooks):
    return plugin(info, routes=[Route(f"/{name}", Thing())], **hooks)


def deployment(folder, plugins, **degrade):
    path = folder / "rolehost.toml"
    lines = "".join(f'{name} = "{word}"\n' for name, word in degrade.items())
    path.write_text(f"plugins = {list(plugins)}\n[on_failure]\n{lines}")
    return load(path, environ={})


def composed(folder, plugins, **degrade):
    return compose(deployment(folder, plugins, **degrade), extra=plugins)


def codes(folder, plugins, **degrade):
    given = deployment(folder, plugins, **degrade)
    composition, problems = examine(given, extra=plugins)
    assert composition is None, composition.degraded
    return [problem.code for problem in problems]


def failing(name, info=None, **hooks):
    made = routed(name, info, **hooks)
    made.rolehost_checks = raises
    return made


def test_a_plugin_that_may_fail_is_left_out_and_reported(tmp_path):
    plugins = {"shop": failing("shop"), "other": routed("other")}
    composition = composed(tmp_path, plugins, shop="degrade")
    assert [each.name for each in composition.plugins] == ["other"]
    assert [owned.plugin for owned in composition.routes] == ["other"]
    (degraded,) = composition.degraded
    assert (degraded.name, [owned.value.path for owned in degraded.routes]) == ("shop", ["/shop"])
    assert "hook-raised: rolehost_checks raised ValueError" in degraded.reason
    (warning,) = composition.warnings
    assert (warning.code, warning.who) == ("degraded", "plugin shop (given in code -)")
    assert warning.got == "ValueError: no such luck"


def test_without_a_word_a_failure_aborts(tmp_path):
    assert codes(tmp_path, {"shop": failing("shop")}) == ["hook-raised"]
    assert codes(tmp_path, {"shop": failing("shop")}, shop="abort") == ["hook-raised"]


def test_an_error_of_another_plugin_is_reported_with_that_of_the_degradable_one(tmp_path):
    plugins = {"shop": failing("shop"), "firm": failing("firm")}
    assert codes(tmp_path, plugins, shop="degrade") == ["hook-raised", "hook-raised"]


def test_a_wrong_setting_remains_an_error(tmp_path):
    path = tmp_path / "rolehost.toml"
    path.write_text('plugins = ["shop"]\n[on_failure]\nshop = "degrade"\n[shop]\nsiez = 1\n')
    composition, problems = examine(load(path, environ={}), extra={"shop": routed("shop")})
    assert composition is None
    assert [problem.code for problem in problems] == ["unknown-section"]


def test_an_unknown_word_is_reported_with_the_nearest(tmp_path):
    path = tmp_path / "rolehost.toml"
    path.write_text('plugins = []\n[on_failure]\nshop = "degarde"\n')
    _, (problem,) = read(path, environ={})
    assert (problem.code, problem.fix) == ("wrong-value", 'did you mean "degrade"?')


def test_an_unknown_plugin_is_reported_with_the_nearest(tmp_path):
    given = deployment(tmp_path, ["shop"], shpo="degrade")
    _, (problem,) = examine(given, extra={"shop": routed("shop")})
    assert (problem.code, problem.fix) == ("unknown-plugin", 'did you mean "shop"?')
    assert problem.where.endswith("rolehost.toml:3, on_failure.shpo")


def test_a_plugin_that_is_not_installed_is_never_left_out(tmp_path):
    given = deployment(tmp_path, ["shop"], shop="degrade")
    _, (problem,) = examine(given)
    assert problem.code == "unknown-plugin"


def test_dependents_of_a_failed_plugin_are_degraded_with_it(tmp_path):
    needing = PluginInfo(api=2, depends=("shop",))
    plugins = {"shop": failing("shop"), "cart": routed("cart", needing), "other": routed("other")}
    composition = composed(tmp_path, plugins, shop="degrade", cart="degrade")
    assert [each.name for each in composition.degraded] == ["shop", "cart"]
    assert "depends on shop, which has failed" in composition.degraded[1].reason


def test_a_requirement_of_a_plugin_that_must_not_fail_is_not_degraded(tmp_path):
    needing = PluginInfo(api=2, depends=("shop",))
    plugins = {"shop": routed("shop"), "cart": routed("cart", needing)}
    given = deployment(tmp_path, plugins, shop="degrade")
    _, (problem,) = examine(given, extra=plugins)
    assert problem.code == "degrade-required"
    assert "cart, which may not be degraded, depends on it" in problem.got


def test_a_backend_that_a_plugin_needs_that_may_not_fail_may_not_be_degraded(tmp_path):
    needing = PluginInfo(api=2, requires=("cache",))
    plugins = {"memory": plugin(backends=backends()), "cart": routed("cart", needing)}
    assert codes(tmp_path, plugins, memory="degrade") == ["degrade-required"]
    assert composed(tmp_path, plugins, memory="degrade", cart="degrade").degraded == ()


def test_dependents_of_a_failed_backend_are_degraded_too(tmp_path):
    needing = PluginInfo(api=2, requires=("cache",))
    memory = plugin(backends=backends())
    memory.rolehost_actors = raises
    plugins = {"memory": memory, "cart": routed("cart", needing), "other": routed("other")}
    composition = composed(tmp_path, plugins, memory="degrade", cart="degrade")
    assert [each.name for each in composition.plugins] == ["other"]
    assert "degraded-storage" in composition.degraded[1].reason


def test_the_database_may_not_be_degraded(tmp_path):
    memory = plugin(
        backends=[Backend(kind="database", name="memory", factory=object, capabilities=frozenset())]
    )
    info = PluginInfo(api=2, requires=("database",))
    plugins = {"memory": memory, "cart": routed("cart", info)}
    both = codes(tmp_path, plugins, memory="degrade", cart="degrade")
    assert both == ["degrade-database"]


def test_a_plugin_with_security_middleware_may_not_be_degraded(tmp_path):
    guard = routed("guard", middleware=[Middleware("guard", Thing(), security=True)])
    assert codes(tmp_path, {"guard": guard}, guard="degrade") == ["degrade-security"]
    guard.rolehost_checks = raises
    reported = codes(tmp_path, {"guard": guard}, guard="degrade")
    assert sorted(reported) == ["degrade-security", "hook-raised"]


def test_in_a_role_without_routes_the_middleware_hook_of_a_failed_plugin_is_called(tmp_path):
    guard = plugin(middleware=[Middleware("guard", Thing(), security=True)])
    guard.rolehost_actors = raises
    given = deployment(tmp_path, ["guard"], guard="degrade")
    composition, problems = examine(given, extra={"guard": guard}, role="worker")
    assert composition is None
    assert [problem.code for problem in problems] == ["cannot-degrade", "hook-raised"]
    plain = plugin(middleware=[Middleware("plain", Thing())])
    plain.rolehost_actors = raises
    composition, _ = examine(given, extra={"guard": plain}, role="worker")
    assert composition is not None


def test_its_middleware_hook_is_called_in_the_environment_of_the_deployment(tmp_path):
    @hookimpl
    def middleware(context):
        return [Middleware("guard", Thing(), security=context.environment == "production")]

    guard = plugin()
    guard.rolehost_actors, guard.rolehost_middleware = raises, middleware
    path = tmp_path / "rolehost.toml"
    for environment, goes_on in (("production", False), ("development", True)):
        path.write_text(
            'plugins = ["guard"]\n[on_failure]\nguard = "degrade"\n'
            f'[deployment]\nenvironment = "{environment}"\n'
        )
        given = load(path, environ={})
        composition, _ = examine(given, extra={"guard": guard}, role="worker")
        assert (composition is not None) == goes_on


def test_where_middleware_cannot_be_declared_nothing_goes_on(tmp_path):
    guard = routed("guard")
    guard.rolehost_middleware = raises
    reported = codes(tmp_path, {"guard": guard}, guard="degrade")
    assert sorted(reported) == ["cannot-degrade", "hook-raised"]


def test_of_two_plugins_with_one_route_the_degradable_one_is_degraded(tmp_path):
    plugins = {
        "shop": plugin(routes=[Route("/things", Thing())]),
        "other": plugin(routes=[Route("/things", Thing())]),
    }
    composition = composed(tmp_path, plugins, shop="degrade")
    assert [owned.plugin for owned in composition.routes] == ["other"]
    both = composed(tmp_path, plugins, shop="degrade", other="degrade")
    assert [each.name for each in both.degraded] == ["shop", "other"]


def test_of_two_plugins_with_one_metric_the_degradable_one_is_degraded(tmp_path):
    metric = Metric(name="things", kind="counter", summary="Things.")
    plugins = {
        name: plugin(PluginInfo(api=2, metrics=(metric,)), routes=[Route(f"/{name}", Thing())])
        for name in ("shop", "other")
    }
    composition = composed(tmp_path, plugins, shop="degrade")
    assert [owned.plugin for owned in composition.metrics.values()] == ["other"]


def test_a_setting_that_is_refused_leaves_no_plugin_out(tmp_path):
    @hookimpl
    def refuses(context):
        raise SettingRefused("token", "not so here", expected="one", got="none", fix="set it")

    shop = routed("shop")
    shop.rolehost_checks = refuses
    assert codes(tmp_path, {"shop": shop}, shop="degrade") == ["refused-setting"]


def test_a_schedule_may_name_the_actor_of_a_plugin_that_failed(tmp_path):
    ticking = plugin(schedules=[Schedule(name="often", actor="work", every=60)])
    shop = plugin(actors=[work])
    shop.rolehost_checks = raises
    plugins = {"memory": plugin(backends=backends()), "shop": shop, "ticking": ticking}
    composition = composed(tmp_path, plugins, shop="degrade")
    assert [owned.value.name for owned in composition.schedules] == ["often"]


def test_a_deployment_that_claims_a_role_does_not_go_on_without_it(tmp_path):
    path = tmp_path / "rolehost.toml"
    path.write_text(
        'plugins = ["shop"]\n[on_failure]\nshop = "degrade"\n[deployment]\nroles = ["worker"]\n'
    )
    shop = plugin(actors=[work])
    shop.rolehost_checks = raises
    _, problems = examine(load(path, environ={}), extra={"shop": shop})
    assert "role-missing" in [problem.code for problem in problems]


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [name for name in sys.modules if name.startswith("faults_")]:
        del sys.modules[name]


def says(site, name):
    points = site / f"{name}_plugin-1.0.dist-info" / "entry_points.txt"
    points.write_text(f"{points.read_text()}[rolehost.degradable]\n{name} = {name}\n")


def test_a_failing_import_degrades_only_a_degradable_plugin(tmp_path, site):
    write_plugin(site, "faults_gone", "import a_module_that_is_gone")
    given = deployment(tmp_path, ["faults_gone", "other"], faults_gone="degrade")
    _, problems = examine(given, extra={"other": routed("other")})
    assert sorted(problem.code for problem in problems) == ["cannot-degrade", "plugin-import"]
    says(site, "faults_gone")
    composition, problems = examine(given, extra={"other": routed("other")})
    assert composition is not None, problems
    (degraded,) = composition.degraded
    assert (degraded.distribution, degraded.version) == ("faults_gone-plugin", "1.0")
    assert degraded.routes == ()


def test_an_import_that_hangs_is_reported_with_its_line(tmp_path, site):
    write_plugin(site, "faults_slow", "import threading\nthreading.Event().wait(60)")
    path = tmp_path / "rolehost.toml"
    path.write_text('plugins = ["faults_slow"]\n[limits]\ndeclare = 0.1\n')
    with pytest.raises(ConfigurationError) as raised:
        compose(load(path, environ={}))
    (problem,) = raised.value.problems
    assert (problem.code, problem.who) == (
        "plugin-hung", "plugin faults_slow (faults_slow-plugin 1.0)",
    )  # fmt: skip
    assert f"{site}/faults_slow.py:2" in problem.where


def test_a_consequence_of_a_failure_is_not_a_separate_error(tmp_path):
    leaning = routed("leaning", PluginInfo(api=1, depends=("shop",)))
    path = tmp_path / "rolehost.toml"
    path.write_text(
        'plugins = ["shop", "leaning"]\n[deployment]\nroles = ["worker", "http"]\n'
        '[on_failure]\nshop = "degrade"\nleaning = "degrade"\n'
    )
    plugins = {"shop": failing("shop"), "leaning": leaning}
    composition, problems = examine(load(path, environ={}), extra=plugins)
    assert composition is None
    assert [problem.code for problem in problems] == ["role-missing", "hook-raised"]


def test_a_plugin_is_not_left_out_because_an_error_has_its_name_in_its_text(tmp_path):
    words = {"where": "nowhere", "what": "none", "expected": "one", "got": "none", "fix": "buy"}

    @hookimpl
    def refuses():
        who = "deployment of plugin shop (a licence)"
        raise ConfigurationError([Problem(code="licence", who=who, **words)])

    shop = routed("shop")
    shop.rolehost_checks = refuses
    assert codes(tmp_path, {"shop": shop}, shop="degrade") == ["licence"]
