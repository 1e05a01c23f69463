from __future__ import annotations

from pathlib import Path

import pytest
from rolehost.errors import ConfigurationError
from rolehost_fleet.loading import load
from rolehost_fleet.model import Fleet

from tests.proofs.fleet_check_plugins import actor, handler, plugin

pytestmark = pytest.mark.needs("rolehost_embedded")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(f'plugins = ["embedded", "shop"]\n{text}', encoding="utf-8")
    return path


def fleet(*paths: Path) -> Fleet:
    shop = plugin(
        actor("shop.pack", queue="packing"),
        actor("shop.mail", queue="mail"),
        handler("shop.paid", "payments", "shop"),
        enqueues=("shop.pack",),
    )
    return load(paths, environ={}, extra={"shop": shop})


def test_mistakes_of_all_deployments_are_told_together_each_naming_its_own(tmp_path: Path) -> None:
    first = write(tmp_path, "first", "[worker]\nthreads = 0\n")
    second = write(tmp_path, "second", "[http]\nbind = 'nowhere'\n")

    with pytest.raises(ConfigurationError) as raised:
        fleet(first, second)

    told = {problem.code: problem.who for problem in raised.value.problems}
    assert told == {
        "wrong-value": f"deployment {first}",
        "invalid-bind": f"deployment {second}",
    }


def test_a_mistake_in_a_shared_file_is_told_once_with_all_that_include_it(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("[worker]\nthreads = 0\n", encoding="utf-8")
    paths = [write(tmp_path, name, "") for name in ("first", "second")]
    for path in paths:
        path.write_text(f'include = ["base.toml"]\n{path.read_text("utf-8")}', encoding="utf-8")

    with pytest.raises(ConfigurationError) as raised:
        fleet(*paths)

    [problem] = raised.value.problems
    assert problem.who == f"deployments {paths[0]}, {paths[1]}"
    assert problem.where.startswith(f"{tmp_path / 'base.toml'}:2")


def test_a_plugins_mistake_names_plugin_and_deployment(tmp_path: Path) -> None:
    path = write(tmp_path, "only", "")

    with pytest.raises(ConfigurationError) as raised:
        load([path], environ={}, extra={"shop": plugin(enqueues=(), requires=("databse",))})

    [problem] = raised.value.problems
    assert problem.who.startswith("plugin shop")
    assert problem.who.endswith(f"in deployment {path}")


def test_instances_run_the_roles_that_the_section_names(tmp_path: Path) -> None:
    [member] = fleet(write(tmp_path, "one", "[fleet]\nroles = ['worker']\n")).members

    assert member.composition.roles == ("consumer", "worker")
    assert member.roles == ("worker",)
    assert list(member.handlers_run()) == []
    assert [owned.value.name for owned in member.actors_run()] == ["shop.pack", "shop.mail"]


def test_nothing_runs_without_replicas(tmp_path: Path) -> None:
    [member] = fleet(write(tmp_path, "one", "[fleet]\nreplicas = 0\n")).members

    assert member.roles == ()
    assert list(member.actors_run()) == []


def test_workers_take_from_the_queues_that_are_named(tmp_path: Path) -> None:
    [member] = fleet(write(tmp_path, "one", "[worker]\nqueues = ['mail']\n")).members

    assert [owned.value.name for owned in member.actors_run()] == ["shop.mail"]


def test_processes_are_counted_as_the_supervisor_starts_them(tmp_path: Path) -> None:
    text = "[worker]\nprocesses = 3\n[consumer]\nprocesses = 2\n"
    [member] = fleet(write(tmp_path, "one", text)).members

    counts = {role: member.processes(role) for role in ("http", "consumer", "worker")}
    assert counts == {"http": 0, "consumer": 2, "worker": 3}


def test_a_fleet_has_the_name_that_a_member_gives_it(tmp_path: Path) -> None:
    plain, named = write(tmp_path, "one", ""), write(tmp_path, "two", "[fleet]\nname = 'shop'\n")

    assert fleet(plain).name == "fleet"
    assert fleet(plain, named).name == "shop"
    assert [m.path for m in fleet(plain, named).members if m.name == "two"] == [named]
