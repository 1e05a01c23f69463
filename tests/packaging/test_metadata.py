"""The metadata of every distribution matches its folder."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
from setuptools import find_packages

from tests.proofs.kit import ROOT

FOLDERS = [ROOT, *sorted(path.parent for path in ROOT.glob("[pc]*/*/setup.cfg"))]
#: Distributions of commands and test material, which no plugin imports.
TOOLS = [ROOT / "contrib/control", ROOT / "contrib/fleet", ROOT / "contrib/testing"]
PLUGINS = [folder for folder in FOLDERS[1:] if folder not in TOOLS]


def metadata(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(path, encoding="utf-8")
    return parser


def words(text: str) -> list[str]:
    return text.split()


def listed(folder: Path) -> list[str]:
    return words(metadata(folder / "setup.cfg")["options"]["packages"])


def identity(folder: Path) -> str:
    return "host" if folder == ROOT else folder.name


@pytest.mark.parametrize("folder", FOLDERS, ids=identity)
def test_every_package_in_the_folder_is_listed(folder: Path) -> None:
    if folder == ROOT:
        there = [*find_packages(str(ROOT / "host")), "rolehost.migrations"]
    else:
        there = find_packages(str(folder), exclude=["tests", "tests.*"])
    assert sorted(listed(folder)) == sorted(there)


@pytest.mark.parametrize("folder", FOLDERS, ids=identity)
def test_every_distribution_is_versioned_and_licensed_alike(folder: Path) -> None:
    host = metadata(ROOT / "setup.cfg")["metadata"]
    own = metadata(folder / "setup.cfg")["metadata"]
    assert (own["version"], own["license"]) == (host["version"], host["license"])
    assert metadata(folder / "setup.cfg")["options"]["python_requires"] == ">=3.11"


@pytest.mark.parametrize("folder", FOLDERS, ids=identity)
def test_every_distribution_marks_itself_as_typed(folder: Path) -> None:
    package = next(name for name in listed(folder) if "." not in name)
    assert "py.typed" in words(metadata(folder / "setup.cfg")["options.package_data"][package])


@pytest.mark.parametrize("folder", PLUGINS, ids=identity)
def test_every_plugin_stands_under_the_import_contracts(folder: Path) -> None:
    package = next(name for name in listed(folder) if "." not in name)
    contracts = metadata(ROOT / ".importlinter")
    assert package in words(contracts["importlinter"]["root_packages"])
    alone = contracts["importlinter:contract:host-alone"]
    assert package in words(alone["forbidden_modules"])
    by_api = contracts["importlinter:contract:plugins-by-the-api"]
    assert package in words(by_api["source_modules"])
    apart = contracts["importlinter:contract:distributions-apart"]
    assert package in words(apart["modules"])


@pytest.mark.parametrize("folder", TOOLS, ids=identity)
def test_neither_the_host_nor_a_plugin_imports_a_tool(folder: Path) -> None:
    package = next(name for name in listed(folder) if "." not in name)
    contracts = metadata(ROOT / ".importlinter")
    assert package in words(contracts["importlinter"]["root_packages"])
    for contract in ("host-alone", "plugins-by-the-api"):
        section = contracts[f"importlinter:contract:{contract}"]
        assert package in words(section["forbidden_modules"])
    apart = contracts["importlinter:contract:distributions-apart"]
    assert package in words(apart["modules"])


@pytest.mark.parametrize("folder", FOLDERS[1:], ids=identity)
def test_every_distribution_is_in_the_tox_matrix(folder: Path) -> None:
    name = metadata(folder / "setup.cfg")["metadata"]["name"]
    assert name in words(metadata(ROOT / "tox.ini")["own"]["everything"])


@pytest.mark.parametrize("folder", PLUGINS, ids=identity)
def test_every_plugin_is_tested_with_its_own_dependencies_alone(folder: Path) -> None:
    tox = (ROOT / "tox.ini").read_text("utf-8")
    assert f"rolehost-{folder.name}[testing]" in tox
    assert f" {folder.relative_to(ROOT)} {{posargs}}" in tox


def test_every_room_of_the_host_is_closed_to_plugins() -> None:
    rooms = {f"rolehost.{path.stem}" for path in (ROOT / "host/rolehost").glob("[!_]*")}
    contracts = metadata(ROOT / ".importlinter")
    closed = set(words(contracts["importlinter:contract:plugins-by-the-api"]["forbidden_modules"]))
    tools = {"rolehost_control", "rolehost_fleet", "rolehost_testing"}
    assert closed == (rooms - {"rolehost.api", "rolehost.py"}) | tools
