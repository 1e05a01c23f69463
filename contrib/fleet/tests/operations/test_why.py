"""Why something is on, across deployments; and what would turn it on."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from rolehost.cli.main import invoke

from tests.host.installed import write_plugin

pytestmark = [pytest.mark.needs("rolehost_embedded"), pytest.mark.needs("cronsim")]

SHOP = """
    from rolehost.api import PLUGIN_API, PluginInfo, Schedule, actor, handler, hookimpl

    @actor(name="shop.ship", queue="parcels")
    def ship(job, order: int) -> None: ...

    @handler(name="shop.note", topic="orders", group="shop")
    def note(context, event) -> None: ...

    @hookimpl
    def rolehost_plugin():
        return PluginInfo(api=PLUGIN_API, enqueues=("shop.ship",))

    @hookimpl
    def rolehost_actors():
        return [ship]

    @hookimpl
    def rolehost_handlers():
        return [note]

    @hookimpl
    def rolehost_schedules():
        return [Schedule(name="shop.daily", actor=ship, arguments={"order": 1}, every=60)]
"""

TILL = """
    from rolehost.api import PLUGIN_API, PluginInfo, hookimpl

    @hookimpl
    def rolehost_plugin():
        return PluginInfo(api=PLUGIN_API, enqueues=("shop.ship",), publishes=("orders",))
"""

Why = Callable[..., tuple[int, list[tuple[str, str]]]]


@pytest.fixture
def why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Why:
    site = tmp_path / "site"
    site.mkdir()
    write_plugin(site, "whyshop", SHOP)
    write_plugin(site, "whytill", TILL)
    write_plugin(site, "whyspare", SHOP.replace("shop.", "spare."))
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    for name, plugins, more in (
        ("till", ["whytill"], ""),
        ("works", ["whyshop"], '[fleet]\nroles = ["worker"]'),
        ("ticks", ["whyshop"], '[fleet]\nroles = ["scheduler"]'),
    ):
        text = f"""\
            plugins = ["embedded", "{plugins[0]}"]
            [embedded]
            path = "service.db"
        """
        (tmp_path / f"{name}.toml").write_text(f"{textwrap.dedent(text)}{more}\n")

    def ask(subject: str, *files: str) -> tuple[int, list[tuple[str, str]]]:
        status = invoke(["why", subject, *(files or ("*.toml",)), "--json"])
        told = json.loads(capsys.readouterr().out)
        return status, [(fact["label"], fact["text"]) for fact in told["facts"]]

    return ask


def test_an_actor_names_who_enqueues_it_and_who_works_it(why):
    status, facts = why("actor:shop.ship")
    assert status == 0
    assert ("contributed by", "plugin whyshop (whyshop-plugin 1.0)") in facts
    assert ("queue", "parcels") in facts
    assert ("enqueued by", "plugin whytill in till (till.toml:1)") in facts
    assert ("scheduled by", "schedule shop.daily (every 60 s) in ticks") in facts
    assert ("consumed by", "the role worker of works (works.toml:1)") in facts
    assert (
        "not consumed by",
        "ticks: ticks.toml:5, fleet.roles leaves the role worker out",
    ) in facts


def test_an_actor_without_a_worker_says_so(why):
    _, facts = why("actor:shop.ship", "till.toml", "ticks.toml")
    assert ("consumed by", "no deployment here") in facts


def test_a_topic_names_who_publishes_it_and_who_reads_it_where(why):
    _, facts = why("topic:orders")
    assert ("published by", "plugin whytill in till (till.toml:1)") in facts
    assert ("consumed by", "no deployment here") in facts
    assert any(label == "not consumed by" for label, _ in facts)


def test_a_schedule_names_where_it_ticks_and_where_its_job_is_worked(why):
    _, facts = why("schedule:shop.daily")
    assert ("ticked by", "the role scheduler of ticks (ticks.toml:1)") in facts
    assert ("consumed by", "the role worker of works (works.toml:1)") in facts


def test_a_handler_names_the_publishers_of_its_topic(why):
    _, facts = why("handler:shop.note")
    assert ("topic", "orders") in facts
    assert ("published by", "plugin whytill in till (till.toml:1)") in facts


def test_a_plugin_and_a_setting_are_told_for_each_deployment(why):
    _, facts = why("plugin:whytill")
    assert ("off in", "works.toml: it is not in plugins there") in facts
    _, facts = why("setting:worker.threads")
    assert ("value", "8, in till") in facts


def test_what_no_deployment_enables_names_the_plugin_that_would_give_it(why):
    status, facts = why("actor:spare.ship")
    assert status == 1
    assert ("would come from", "plugin whyspare (whyspare-plugin 1.0)") in facts
    assert (
        "to turn it on",
        'add "whyspare" to plugins in ticks.toml or till.toml or works.toml',
    ) in facts


def test_what_is_not_installed_names_the_distribution_that_offers_it(why, monkeypatch):
    from rolehost_fleet.commands import why as module

    monkeypatch.setattr(module, "installed", lambda: ())
    status, facts = why("plugin:redis")
    assert status == 1
    assert ("to install it", "pip install 'rolehost[redis]'") in facts


def one(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    assert invoke(["why", "actor:shop.ship", "--json", *arguments]) == 0
    return {fact["label"]: fact["text"] for fact in json.loads(capsys.readouterr().out)["facts"]}


def test_one_deployment_is_explained_by_itself(why, capsys):
    assert one(capsys, "works.toml")["consumed by"] == "the worker role of this deployment"
    assert one(capsys, "work*.toml")["consumed by"] == "the worker role of this deployment"


def test_without_a_deployment_the_usual_one_is_explained(why, tmp_path, capsys):
    (tmp_path / "works.toml").rename(tmp_path / "rolehost.toml")
    assert one(capsys)["enabled at"] == "rolehost.toml:1"
    assert one(capsys, "-d", "ticks.toml")["enabled at"] == "ticks.toml:1"


def test_other_plugins_are_for_one_deployment_alone(why, capsys):
    assert one(capsys, "till.toml", "--plugins", "embedded,whyshop")["queue"] == "parcels"
    assert invoke(["why", "actor:shop.ship", "*.toml", "--plugins", "whyshop"]) == 2
    assert "--plugins is for one deployment" in capsys.readouterr().err


def test_a_kind_without_a_name_is_answered_with_the_kinds(why, capsys):
    assert invoke(["why", "actor"]) == 2
    error = capsys.readouterr().err
    assert "'actor' is not KIND:NAME; KIND is one of plugin, route, actor" in error
    assert invoke(["why", "actr:shop.ship"]) == 2
    assert 'did you mean "actor"?' in capsys.readouterr().err
