"""One plugin adds a hook, and another plugin implements it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rolehost.api import PLUGIN_API, PluginInfo, hookimpl
from rolehost.composition import Composition, compose, examine
from rolehost.deployment import read

from tests.check.casefile import install

SOURCE = Path(__file__).with_name("points")


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The two plugins, imported."""
    monkeypatch.syspath_prepend(str(SOURCE))
    from rolehost_points import kitchen, menu

    return SimpleNamespace(kitchen=kitchen, menu=menu)


def composed(role: Any = None, **plugins: Any) -> Composition:
    return compose(read(None, plugins=list(plugins), environ={})[0], extra=plugins, role=role)


def menu_of(composition: Composition) -> list[tuple[str, int, str]]:
    resource: Any = composition.routes[0].value.resource
    return [(each.value.name, each.value.price, each.plugin) for each in resource.dishes]


def cook(*dishes: str) -> Any:
    """Return a plugin that contributes dishes."""

    @hookimpl
    def rolehost_plugin() -> PluginInfo:
        return PluginInfo(api=PLUGIN_API)

    @hookimpl
    def menu_dishes() -> Any:
        from rolehost_points.dishes import Dish

        return [Dish(name, 100) for name in dishes]

    return SimpleNamespace(rolehost_plugin=rolehost_plugin, menu_dishes=menu_dishes)


def test_the_offering_plugin_gets_the_items_of_others_in_any_order(points: Any):
    wanted = [("soup", 500, "kitchen"), ("bread", 500, "kitchen")]
    assert menu_of(composed(menu=points.menu, kitchen=points.kitchen)) == wanted
    assert menu_of(composed(kitchen=points.kitchen, menu=points.menu)) == wanted


def test_items_come_in_the_order_of_plugins_with_owner_and_site(points: Any):
    composition = composed(menu=points.menu, b=cook("b"), a=cook("a"))
    given = composition.extensions["menu_dishes"]
    assert [(each.value.name, each.plugin) for each in given] == [("b", "b"), ("a", "a")]
    assert all(each.location.startswith(f"{__name__}:") for each in given)
    assert given[0].who == "plugin b (given in code -)"


def test_without_the_offering_plugin_the_implementation_is_not_called(points: Any):
    assert composed(kitchen=points.kitchen).extensions == {}


def test_processes_of_other_roles_do_not_call_it(points: Any):
    plugins = {"menu": points.menu, "kitchen": points.kitchen}
    assert composed("worker", **plugins).extensions == {"menu_dishes": ()}
    assert len(composed("http", **plugins).extensions["menu_dishes"]) == 2


def test_a_clash_is_reported_with_the_text_of_the_offering_plugin(points: Any):
    plugins = {"menu": points.menu, "x": cook("pie"), "y": cook("pie")}
    _, problems = examine(read(None, plugins=list(plugins), environ={})[0], extra=plugins)
    assert [problem.code for problem in problems] == ["duplicate-dish"]
    assert problems[0].who == "plugin x (given in code -), plugin y (given in code -)"


def test_a_process_starts_with_the_collected_items(points: Any):
    from rolehost.roles.process import Process

    process = Process(composed(menu=points.menu, kitchen=points.kitchen), role="http")
    process.start()
    process.stop()
    assert points.menu.STARTED.pop() == ["soup", "bread"]


def rolehost(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rolehost", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{folder / 'site'}{os.pathsep}{SOURCE}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def words(text: str) -> str:
    """Return a text without the spaces that align it."""
    return " ".join(text.split())


@pytest.fixture
def restaurant(tmp_path: Path) -> Path:
    """A folder with a deployment of both plugins, and their metadata."""
    for name in ("menu", "kitchen"):
        entry = f"{name} = rolehost_points.{name}"
        install(tmp_path / "site", f"rolehost-{name}", "0.1.0", entry)
    (tmp_path / "rolehost.toml").write_text('plugins = ["kitchen", "menu"]\n')
    return tmp_path


def test_listings_name_the_point_and_its_contributors(restaurant: Path):
    rows = json.loads(rolehost(restaurant, "plugins", "--json"))
    extensions = {row["name"]: row["extensions"] for row in rows if row["extensions"]}
    assert extensions == {
        "menu": ["offers menu_dishes"],
        "kitchen": ["extends menu_dishes of plugin menu"],
    }


@pytest.mark.needs("rolehost_fleet")
def test_why_names_the_point_and_its_contributors(restaurant: Path):
    why = words(rolehost(restaurant, "why", "extension:menu_dishes"))
    assert "contributed by: plugin menu (rolehost-menu 0.1.0)" in why
    kitchen = "plugin kitchen (rolehost-kitchen 0.1.0) at rolehost_points.kitchen"
    assert f"implemented by: {kitchen}" in why
    told = words(rolehost(restaurant, "why", "plugin:kitchen"))
    assert "extends: menu_dishes of plugin menu" in told
