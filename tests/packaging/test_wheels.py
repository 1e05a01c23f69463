"""The installed wheels work without the tree."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.packaging.test_metadata import FOLDERS, identity, metadata
from tests.proofs.kit import ROOT

SMOKE = """
import json, pathlib, importlib.resources, rolehost
import rolehost_embedded, rolehost_ops, rolehost_openapi, rolehost_postgres, rolehost_webhooks
import rolehost_kafka, rolehost_memcached, rolehost_redis, rolehost_graphql, rolehost_fleet
import rolehost_batches, rolehost_control, rolehost_dramatiq
packages = [rolehost, rolehost_embedded, rolehost_ops, rolehost_openapi, rolehost_postgres,
            rolehost_webhooks, rolehost_kafka, rolehost_memcached, rolehost_redis, rolehost_graphql,
            rolehost_fleet, rolehost_dramatiq, rolehost_control,
            rolehost_batches]
print(json.dumps({
    "from": sorted({str(pathlib.Path(package.__file__).parents[1]) for package in packages}),
    "typed": all(importlib.resources.files(package).joinpath("py.typed").is_file()
                 for package in packages),
    "migrations": {name: sorted(path.name for path in importlib.resources.files(name).iterdir()
                                if path.name.endswith(".sql"))
                   for name in ["rolehost.migrations", "rolehost_webhooks.migrations"]},
}))
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of this tree; ROLEHOST_TEST_WHEELS names a folder where they are already."""
    if given := os.environ.get("ROLEHOST_TEST_WHEELS"):
        return Path(given)
    folder = tmp_path_factory.mktemp("wheels")
    environ = os.environ | {"VENV": sys.prefix}
    subprocess.run([ROOT / "scripts/wheels.sh", folder], env=environ, check=True)
    return folder


@pytest.fixture(scope="module")
def installed(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of an environment with the wheels of production and their requirements."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install"]
    locked = ["--require-hashes", "-r", str(ROOT / "scripts/requirements/runtime.txt")]
    subprocess.run([*pip, "--quiet", *locked], check=True)
    own = [
        "--no-deps",
        "--no-index",
        *(str(path) for path in sorted(wheels.glob("*.whl")) if "_testing-" not in path.name),
    ]
    subprocess.run([*pip, "--quiet", *own], check=True)
    return folder / "bin"


def outcome(command: list[str | Path], where: Path) -> str:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_distribution_has_a_wheel(wheels: Path) -> None:
    names = {path.name.partition("-")[0] for path in wheels.glob("*.whl")}
    assert names == {
        metadata(folder / "setup.cfg")["metadata"]["name"].replace("-", "_") for folder in FOLDERS
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=identity)
def test_a_wheel_holds_the_code_and_the_sql_and_no_tests(wheels: Path, folder: Path) -> None:
    name = metadata(folder / "setup.cfg")["metadata"]["name"].replace("-", "_")
    (wheel,) = wheels.glob(f"{name}-*.whl")
    there = {Path(each) for each in zipfile.ZipFile(wheel).namelist()}
    sources = [(ROOT / "host", "rolehost"), (ROOT, "migrations")]
    if folder != ROOT:
        sources = [(folder, name)]
    for base, package in sources:
        for path in (base / package).rglob("*"):
            if path.suffix in {".py", ".sql", ".js", ".css", ".gz", ".html", ".typed"}:
                inside = path.relative_to(base)
                expected = Path("rolehost") / inside if package == "migrations" else inside
                assert expected in there
    # Templates of `rolehost new` contain tests of the generated packages.
    assert not [path for path in there if "tests" in path.parts and path.suffix != ".tmpl"]


def test_the_host_s_wheel_holds_no_code_of_its_tools(wheels: Path) -> None:
    (wheel,) = wheels.glob("rolehost-*.whl")
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    assert {Path(name).parts[0] for name in names if ".dist-info" not in name} == {"rolehost"}
    rooms = {Path(name).parts[1] for name in names if Path(name).parts[0] == "rolehost"}
    assert not rooms & {"fleet", "grading", "scaffold", "testing"}
    code = [archive.read(name).decode() for name in names if name.endswith(".py")]
    tools = re.compile(r"^\s*(from|import) rolehost_(control|fleet|testing)\b", re.MULTILINE)
    assert not [text for text in code if tools.search(text)]


def test_an_install_for_production_has_the_fleet_s_commands_and_none_for_tests(
    installed: Path, tmp_path: Path
) -> None:
    said = outcome([installed / "rolehost", "--help"], tmp_path)
    commands = {line.split()[0] for line in said.splitlines() if line.startswith("  ")}
    assert {"run", "jobs", "fleet", "asyncapi", "why", "doctor"} <= commands
    assert not {"new", "failpoints"} & commands
    new = [installed / "rolehost", "new", "plugin", "acme-x"]
    done = subprocess.run(new, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'rolehost[testing]'" in done.stderr
    grade = [installed / "rolehost", "plugins", "grade", "ops"]
    done = subprocess.run(grade, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'rolehost[testing]'" in done.stderr


def test_the_installed_packages_are_typed_and_carry_their_migrations(
    installed: Path, tmp_path: Path
) -> None:
    seen = json.loads(outcome([installed / "python", "-c", SMOKE], tmp_path))
    assert len(seen["from"]) == 1
    assert seen["from"][0].startswith(str(installed.parent))
    assert seen["typed"]
    for names in seen["migrations"].values():
        assert any(name.startswith("0001_") for name in names)


def test_the_installed_host_checks_a_deployment_of_every_plugin(
    installed: Path, tmp_path: Path
) -> None:
    deployment = tmp_path / "all.toml"
    plugins = json.loads(outcome([installed / "rolehost", "plugins", "--json"], tmp_path))
    names = [plugin["name"] for plugin in plugins]
    # Several plugins offer each kind of storage, so a deployment of them all has to choose.
    chosen = "".join(f'{kind} = "embedded"\n' for kind in ("database", "cache", "queue", "stream"))
    deployment.write_text(f"plugins = {json.dumps(names)}\n[storage]\n{chosen}", "utf-8")
    outcome([installed / "rolehost", "check", deployment], tmp_path)
