"""Finding plugins without importing them, and loading those that are meant."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rolehost.discovery import InstalledPlugin, installed
from rolehost.discovery.hooks import HookTable, implementation
from rolehost.errors import ConfigurationError
from rolehost.suggest import did_you_mean

from tests.check.casefile import install
from tests.host.installed import plugin, write_plugin


def found(site: Path) -> list[InstalledPlugin]:
    return list(installed([str(site)]))


def test_a_plugin_is_found_with_distribution_version_and_target(tmp_path):
    write_plugin(tmp_path, "acme", version="1.2")
    assert found(tmp_path) == [InstalledPlugin("acme", "acme-plugin", "1.2", "acme")]


def test_finding_imports_nothing(tmp_path, monkeypatch):
    write_plugin(tmp_path, "acme_unseen", "raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "acme_unseen" in {each.name for each in installed()}
    assert "acme_unseen" not in sys.modules


def test_plugins_come_sorted_whatever_the_order_on_disk(tmp_path):
    for name in ("zeta", "alpha", "mid"):
        write_plugin(tmp_path, name)
    assert [each.name for each in found(tmp_path)] == ["alpha", "mid", "zeta"]


def test_a_distribution_seen_twice_on_the_path_counts_once_and_the_first_wins(tmp_path):
    write_plugin(tmp_path / "first", "acme", version="2.0")
    write_plugin(tmp_path / "second", "acme", version="1.0")
    path = [str(tmp_path / "first"), str(tmp_path / "second"), str(tmp_path / "first")]
    assert [each.version for each in installed(path)] == ["2.0"]


def test_one_name_in_two_distributions_is_listed_twice(tmp_path):
    write_plugin(tmp_path, "acme")
    install(tmp_path, "acme-fork", "0.9", "acme = fork")
    assert [each.distribution for each in found(tmp_path)] == ["acme-fork", "acme-plugin"]


def test_a_distribution_may_bring_several_plugins(tmp_path):
    install(tmp_path, "acme-plugin", "1.0", "acme-api = acme.api")
    install(tmp_path, "acme-plugin", "1.0", "acme-work = acme.work:plugin")
    assert [each.target for each in found(tmp_path)] == ["acme.api", "acme.work:plugin"]


def test_entry_points_of_other_groups_are_left_alone(tmp_path):
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[console_scripts]\nrolehost = other:main\n")
    assert found(tmp_path) == []


def test_loading_returns_the_module_or_the_object_that_is_named(tmp_path, monkeypatch):
    write_plugin(tmp_path, "acme_loaded", "class Inner:\n    thing = 5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = InstalledPlugin("a", "d", "1", "acme_loaded").load()
    assert module is sys.modules["acme_loaded"]
    assert InstalledPlugin("a", "d", "1", "acme_loaded:Inner.thing").load() == 5


def test_an_import_that_raises_names_plugin_distribution_version_and_line(tmp_path, monkeypatch):
    (tmp_path / "acme_inner.py").write_text("x = 1\nx / 0\n")
    write_plugin(tmp_path, "acme_outer", "import acme_inner")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigurationError) as raised:
        InstalledPlugin("acme_outer", "acme-plugin", "1.0", "acme_outer").load()
    (problem,) = raised.value.problems
    assert problem.who == "plugin acme_outer (acme-plugin 1.0)"
    assert problem.where.endswith("acme_inner.py:2")
    assert problem.got == "ZeroDivisionError: division by zero"


def test_a_syntax_error_is_reported_with_its_own_line(tmp_path, monkeypatch):
    write_plugin(tmp_path, "acme_syntax", "x = 1\ny = = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigurationError) as raised:
        InstalledPlugin("acme_syntax", "acme-plugin", "1.0", "acme_syntax").load()
    assert raised.value.problems[0].where.endswith("acme_syntax.py:2")


def test_a_hook_may_be_written_with_or_without_the_context():
    given = plugin(routes=[])
    call = implementation(given, "rolehost_routes")
    assert call is not None
    assert call("context") == []
    assert implementation(given, "rolehost_actors") is None


def test_two_compositions_do_not_share_their_hooks():
    given = plugin()
    assert HookTable().register("acme", given, "plugin acme") == []
    assert HookTable().register("acme", given, "plugin acme") == []


def test_one_object_under_two_names_is_refused():
    given = plugin()
    table = HookTable()
    assert table.register("one", given, "plugin one") == []
    (problem,) = table.register("two", given, "plugin two")
    assert problem.code == "plugin-refused"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("redsi", 'did you mean "redis"?'), ("Redis", 'did you mean "redis"?'), ("kafka", "")],
)
def test_a_name_is_suggested_when_one_is_near(name, hint):
    assert did_you_mean(name, ["redis", "postgres"]) == hint
