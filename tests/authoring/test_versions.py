"""Plugin API versions: which are accepted."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import rolehost
from rolehost.api import ACCEPTED_APIS, PLUGIN_API, Check, PluginInfo, Schedule, actor, hookimpl
from rolehost.composition import examine
from rolehost.deployment import read
from rolehost.errors import Problem

from tests.proofs.kit import ROOT


@actor(name="tidy")
def tidy(job: Any) -> None:
    """Do nothing."""


def plugin(api: Any) -> SimpleNamespace:
    """A plugin of an API, with a schedule, a check, an actor."""

    @hookimpl
    def rolehost_plugin():
        return PluginInfo(api=api)

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


def found(api: Any) -> list[Problem]:
    """Return the error of a plugin's API number; empty if it is accepted."""
    deployment, _ = read(None, plugins=["acme"], environ={})
    _, problems = examine(deployment, extra={"acme": plugin(api)})
    return [each for each in problems if each.code == "plugin-api"]


def test_this_version_and_the_one_before_are_accepted():
    assert ACCEPTED_APIS == (PLUGIN_API, PLUGIN_API - 1) == (2, 1)
    for api in ACCEPTED_APIS:
        assert found(api) == []


@pytest.mark.parametrize(("api", "side"), [(0, "acme"), (3, "rolehost"), (7, "rolehost")])
def test_any_other_is_refused_and_both_sides_are_named(api: int, side: str):
    (problem,) = found(api)
    assert problem.code == "plugin-api"
    assert "plugin acme (given in code -)" in problem.who
    assert f"plugin API {api}" in problem.got
    assert f"rolehost {rolehost.__version__} has 2 and accepts the previous one" in problem.expected
    assert problem.fix.startswith("upgrade rolehost" if side == "rolehost" else "upgrade given")


@pytest.mark.parametrize("api", ["2", 2.0, True, None])
def test_a_version_that_is_not_a_whole_number_is_refused(api: Any):
    (problem,) = found(api)
    assert problem.got == f"api={api!r}"
    assert problem.fix == "write api=2, a whole number"


def test_plugins_of_the_version_before_are_kept_to_prove_that_they_run():
    sources = (ROOT / "tests/plugins/entries/rolehost_entries").glob("*.py")
    said = [
        number
        for path in sources
        for number in re.findall(r"PluginInfo\(\s*api=(\d+)", path.read_text())
    ]
    assert said == [str(PLUGIN_API - 1)] * 4


def test_our_own_plugins_use_the_constant_plugin_api():
    for folder in ("plugins", "contrib"):
        for path in (ROOT / folder).glob("*/rolehost_*/**/*.py"):
            assert not re.search(r"PluginInfo\(\s*api=\d", path.read_text("utf-8")), path
