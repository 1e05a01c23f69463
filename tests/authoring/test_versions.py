"""Plugin API versions: who is accepted, and how something goes out of use."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import rolehost
from rolehost.api import ACCEPTED_APIS, PLUGIN_API, Check, PluginInfo, Schedule, actor, hookimpl
from rolehost.api.versions import DEPRECATIONS, Deprecation
from rolehost.cli.main import invoke
from rolehost.composition import deprecated, examine
from rolehost.deployment import read
from rolehost.errors import Problem

from tests.proofs.kit import ROOT


@actor(name="tidy")
def tidy(job: Any) -> None:
    """Do nothing."""


def plugin(api: Any, **fields: Any) -> SimpleNamespace:
    """A plugin of an API, with a schedule, a check, an actor."""

    @hookimpl
    def rolehost_plugin():
        return PluginInfo(api=api, **fields)

    @hookimpl
    def rolehost_actors():
        return [tidy]

    @hookimpl
    def rolehost_checks(context):
        return [Check(name=context.plugin, fn=lambda services: None, live=True)]

    @hookimpl
    def rolehost_schedules():
        return [Schedule(name="tidy", actor=tidy, every=60.0, missed="skip")]

    hooks = (rolehost_plugin, rolehost_actors, rolehost_checks, rolehost_schedules)
    return SimpleNamespace(**{hook.__name__: hook for hook in hooks})


def found(api: Any, *table: Deprecation, **fields: Any) -> tuple[list[Problem], list[Problem]]:
    """Return mistakes and warnings about one plugin, of versions and of deprecated things."""
    deployment, _ = read(None, plugins=["acme"], environ={})
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        real = deprecated.check

        def check(plugins: Any, contributions: Any, report: Any) -> None:
            real(plugins, contributions, report, table)
            seen.append(report)

        patch.setattr("rolehost.composition.composing.deprecated.check", check)
        _, problems = examine(deployment, extra={"acme": plugin(api, **fields)})
    codes = {"plugin-api", "removed"}
    return [each for each in problems if each.code in codes], seen[0].warnings


HOOK = Deprecation(
    kind="hook", name="rolehost_schedules", since=2, removed=3, instead="implement rolehost_ticks"
)
ARGUMENT = Deprecation(
    kind="argument", name="rolehost_checks(context)", since=2, removed=3, instead="take nothing"
)
FIELD = Deprecation(
    kind="field", name="Check.live", since=2, removed=3, instead="leave it to the supervisor"
)
INFO = Deprecation(
    kind="field", name="PluginInfo.external", since=2, removed=3, instead="say so in [fleet]"
)


def test_this_version_and_the_one_before_are_accepted():
    assert ACCEPTED_APIS == (PLUGIN_API, PLUGIN_API - 1) == (2, 1)
    for api in ACCEPTED_APIS:
        assert found(api) == ([], [])


@pytest.mark.parametrize(("api", "side"), [(0, "acme"), (3, "rolehost"), (7, "rolehost")])
def test_any_other_is_refused_and_both_sides_are_named(api: int, side: str):
    ((problem,), _) = found(api)
    assert problem.code == "plugin-api"
    assert "plugin acme (given in code -)" in problem.who
    assert f"plugin API {api}" in problem.got
    assert (
        f"rolehost {rolehost.__version__} speaks 2 and accepts the one before" in problem.expected
    )
    assert problem.fix.startswith("upgrade rolehost" if side == "rolehost" else "upgrade given")


@pytest.mark.parametrize("api", ["2", 2.0, True, None])
def test_what_is_no_whole_number_is_refused(api: Any):
    ((problem,), _) = found(api)
    assert problem.got == f"api={api!r}"
    assert problem.fix == "write api=2, a whole number"


@pytest.mark.parametrize("deprecation", [HOOK, ARGUMENT, FIELD, INFO], ids=lambda each: each.name)
def test_a_use_of_what_is_deprecated_is_a_warning_with_owner_site_and_instead(
    deprecation: Deprecation,
):
    mistakes, warnings = found(2, deprecation, publishes=("t",), external=("t",))
    assert mistakes == []
    (warning,) = warnings
    assert warning.code == "deprecated"
    assert warning.who == "plugin acme (given in code -)"
    assert "test_versions" in warning.where or "rolehost_plugin" in warning.where
    assert deprecation.name in warning.what
    assert deprecation.instead in warning.fix
    assert "since plugin API 2, gone with 3" in warning.expected


def test_what_is_not_used_is_not_warned_of():
    unused = Deprecation(kind="field", name="Check.timeout", since=2, removed=3, instead="nothing")
    assert found(2, unused, INFO) == ([], [])


@pytest.mark.parametrize("kind", ["hook", "argument", "field"])
def test_a_plugin_that_says_an_api_without_the_thing_is_refused(kind: str):
    each = {"hook": HOOK, "argument": ARGUMENT, "field": FIELD}[kind]
    removed = Deprecation(kind=each.kind, name=each.name, since=1, removed=2, instead=each.instead)
    ((mistake,), warnings) = found(2, removed)
    assert (mistake.code, warnings) == ("removed", [])
    assert "removed in plugin API 2" in mistake.expected
    assert each.instead in mistake.fix
    older, (warning,) = found(1, removed)
    assert (older, warning.code) == ([], "deprecated")


def test_a_thing_is_removed_after_it_was_deprecated():
    with pytest.raises(ValueError, match="removed in 2"):
        Deprecation(kind="hook", name="rolehost_x", since=2, removed=2, instead="…")


def test_entries_leave_the_table_with_the_last_api_that_may_use_them():
    assert [each for each in DEPRECATIONS if each.removed <= min(ACCEPTED_APIS)] == []


def test_check_tells_a_warning_and_still_holds(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from tests.check.casefile import install

    install(tmp_path, "acme-plugin", "1.2", "acme = acme_of_test")
    (tmp_path / "acme_of_test.py").write_text(
        "import click\nfrom rolehost.api import Command, PluginInfo, hookimpl\n\n\n"
        "@hookimpl\ndef rolehost_plugin():\n    return PluginInfo(api=1)\n\n\n"
        "@hookimpl\ndef rolehost_commands():\n"
        "    return [Command(name='acme', target='acme_of_test:acts', summary='Acts')]\n\n\n"
        "@click.command()\ndef acts():\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    table = (
        Deprecation(
            kind="hook", name="rolehost_commands", since=2, removed=3, instead="write a script"
        ),
    )
    monkeypatch.setattr(deprecated.check, "__defaults__", (table,))
    assert invoke(["check", "--plugins", "acme"]) == 0
    said = capsys.readouterr().out
    assert "deprecated: the hook rolehost_commands is deprecated" in said
    assert "plugin acme (acme-plugin 1.2)" in said
    assert "acme_of_test:10" in said or "acme_of_test:11" in said
    assert "1 warning" in said


def test_plugins_of_the_version_before_are_kept_to_prove_that_they_run():
    sources = (ROOT / "tests/plugins/entries/rolehost_entries").glob("*.py")
    said = [
        number
        for path in sources
        for number in re.findall(r"PluginInfo\(\s*api=(\d+)", path.read_text())
    ]
    assert said == [str(PLUGIN_API - 1)] * 4


def test_our_own_plugins_say_the_version_of_the_host_they_are_released_with():
    for folder in ("plugins", "contrib"):
        for path in (ROOT / folder).glob("*/rolehost_*/**/*.py"):
            assert not re.search(r"PluginInfo\(\s*api=\d", path.read_text("utf-8")), path
