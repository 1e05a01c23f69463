"""Commands show degraded plugins."""

from __future__ import annotations

import json
import sys

import pytest
from rolehost.cli.main import invoke

from tests.host.installed import write_plugin

NEWS = """
from rolehost.api import PluginInfo, Route, hookimpl


class News:
    def on_get(self, req, resp):
        pass


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=2)


@hookimpl
def rolehost_routes():
    return [Route("/news", News())]


@hookimpl
def rolehost_checks():
    raise LookupError("no feed")
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    write_plugin(tmp_path, "faults_news", NEWS)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "rolehost.toml"
    write_plugin(tmp_path, "faults_other")
    names = ["faults_news", "faults_other"]
    path.write_text(f'plugins = {names}\n[on_failure]\nfaults_news = "degrade"\n')
    yield str(path)
    for name in names:
        sys.modules.pop(name, None)


def test_the_check_warns_and_passes(file, capsys):
    assert invoke(["check", "--json", file]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["plugins"]) == (True, ["faults_other"])
    assert document["roles"] == ["http"]
    assert [each["code"] for each in document["warnings"]] == ["degraded"]


def test_the_list_shows_a_degraded_plugin_with_the_reason(file, capsys):
    assert invoke(["plugins", "--json", file]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    row = rows["faults_news"]
    assert row["state"] == "degraded"
    assert "hook-raised: rolehost_checks raised LookupError" in row["why"]


@pytest.mark.needs("rolehost_fleet")
@pytest.mark.parametrize("subject", ["plugin:faults_news", "route:/news"])
def test_why_names_the_failure_of_a_plugin_and_of_its_routes(file, subject, capsys):
    assert invoke(["why", "-d", file, subject]) == 1
    out = capsys.readouterr().out
    assert f"{subject} is off" in out
    assert "the plugin is degraded" in out
    assert "rolehost_checks raised LookupError" in out


def test_settings_show_the_behaviour_on_failure(file, capsys):
    assert invoke(["settings", "--json", file]) == 0
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["on_failure.faults_news"]["value"] == "degrade"
    assert rows["on_failure.faults_news"]["origin"] == f"{file}:3"


@pytest.mark.needs("rolehost_fleet")
def test_the_check_of_a_fleet_warns_of_it(file, capsys):
    assert invoke(["fleet", "check", file]) == 0
    assert "degraded: the plugin faults_news is degraded" in capsys.readouterr().out
