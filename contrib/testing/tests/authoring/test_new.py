"""``rolehost new`` writes packages that work unchanged, under any name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rolehost.cli.main import invoke
from rolehost_testing.scaffold import (
    BACKENDS,
    LICENSES,
    InvalidName,
    Name,
    Options,
    backend,
    plugin,
    write,
)
from rolehost_testing.scaffold.names import LONGEST

from tests.host.installed import write_plugin
from tests.proofs.kit import ROOT

pytestmark = [pytest.mark.needs("rolehost_embedded"), pytest.mark.needs("falcon")]

NEEDY = """
from rolehost.api import PluginInfo, Secret, Settings, hookimpl


class Needy(Settings, frozen=True, kw_only=True):
    region: str
    key: Secret


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=1, settings=Needy)
"""

SHORT, LONG = "ab", "abcdefghijkl-nopqrstuvwx"
KINDS = ["plugin", *BACKENDS]


def made(kind: str, name: str, folder: Path) -> Path:
    """Write a package and return its folder."""
    named = Name.of(name)
    package = folder / f"{kind}-{name}"
    files = plugin(named, Options()) if kind == "plugin" else backend(named, kind, Options())  # type: ignore[arg-type]
    write(files, package)
    return package


def run(folder: Path, *command: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [SHORT, LONG])
@pytest.mark.parametrize("kind", KINDS)
def test_lint_and_format_are_clean_for_every_length_of_name(kind: str, name: str, tmp_path: Path):
    pytest.importorskip("ruff")
    assert len(LONG) == LONGEST
    folder = made(kind, name, tmp_path)
    run(folder, "ruff", "check", "--no-cache")
    run(folder, "ruff", "format", "--check", "--no-cache")


@pytest.mark.parametrize("kind", KINDS)
def test_the_strict_types_are_clean(kind: str, tmp_path: Path):
    pytest.importorskip("mypy")
    folder = made(kind, "guest-book", tmp_path)
    run(folder, "mypy", "--cache-dir", str(ROOT / ".mypy_cache"), MYPYPATH=str(ROOT / "host"))


def test_no_mark_and_no_word_of_the_templates_is_left(tmp_path: Path):
    for kind in KINDS:
        for path, text in (
            plugin(Name.of("guest-book"), Options())
            if kind == "plugin"
            else backend(Name.of("guest-book"), kind, Options())
        ).items():  # type: ignore[arg-type]
            if path == "LICENSE":
                continue
            for word in (
                "acme",
                "Acme",
                "@summary@",
                "@kind@",
                "@Kind@",
                "@host@",
                "@api@",
                "@year@",
            ):
                assert word not in text.replace("ACME_TOKEN", ""), (path, word)
                assert word not in path


@pytest.mark.parametrize("license_name", LICENSES)
def test_the_licence_is_the_one_that_was_chosen(license_name: str):
    files = plugin(Name.of("acme"), Options(license=license_name, author="Ada Lovelace"))
    assert f"license = {license_name}" in files["setup.cfg"]
    words = {"Apache-2.0": "Apache License", "MIT": "MIT License"}
    assert words.get(license_name, "All rights reserved") in files["LICENSE"]
    if license_name != "Apache-2.0":
        assert "Ada Lovelace" in files["LICENSE"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Guest_Book", 'did you mean "guest-book"?'),
        ("guest book", 'did you mean "guest-book"?'),
        ("2fast", 'did you mean "fast"?'),
        ("", "lower-case letters"),
        ("a--b", 'did you mean "a-b"?'),
        ("ünder", "lower-case letters"),
        ("x" * 25, "at most 24"),
        ("http", "the host has a section or a command of that name"),
        ("rolehost", "the host has a section or a command of that name"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_one_that_can(text: str, words: str):
    with pytest.raises(InvalidName, match="cannot name a plugin") as caught:
        Name.of(text, {"http"})
    assert words in str(caught.value)


def test_the_prefix_of_a_package_is_not_part_of_the_name():
    name = Name.of("rolehost-guest-book")
    assert (name.plugin, name.distribution, name.module, name.prefix) == (
        "guest-book",
        "rolehost-guest-book",
        "rolehost_guest_book",
        "GuestBook",
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_existing_folder_is_not_changed(here: Path, capsys: pytest.CaptureFixture[str]):
    (here / "rolehost-acme").mkdir()
    (here / "rolehost-acme/mine").write_text("mine")
    assert invoke(["new", "plugin", "acme"]) == 1
    assert "exists; nothing was overwritten" in capsys.readouterr().err
    assert [path.name for path in here.rglob("*")] == ["rolehost-acme", "mine"]


def test_an_empty_folder_is_taken(here: Path):
    (here / "mine").mkdir()
    assert invoke(["new", "plugin", "acme", "--into", "mine"]) == 0
    assert (here / "mine/rolehost_acme/plugin.py").is_file()
    assert [path.name for path in here.iterdir()] == ["mine"]


def test_a_dry_run_lists_and_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]):
    assert invoke(["new", "plugin", "acme", "--dry-run"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert "rolehost-acme/.github/workflows/ci.yml" in listed
    assert "rolehost-acme/rolehost_acme/py.typed" in listed
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("option", ["--summary", "--author"])
@pytest.mark.parametrize("text", ['say "no"', "100 %", "two\nlines", "x" * 61])
def test_words_that_would_break_a_file_are_refused(
    here: Path, option: str, text: str, capsys: pytest.CaptureFixture[str]
):
    assert invoke(["new", "plugin", "acme", option, text]) == 2
    assert "at most 60 characters" in capsys.readouterr().err
    assert list(here.iterdir()) == []


@pytest.mark.needs("rolehost_webhooks")
def test_a_deployment_enables_the_named_plugins_and_their_requirements(here: Path):
    assert invoke(["new", "deployment", "web", "--plugins", "ops,webhooks-api"]) == 0
    text = (here / "web.toml").read_text()
    assert 'plugins = ["embedded", "ops", "webhooks-api"]' in text
    assert '# token = "${TOKEN}"    # secret' in text
    assert invoke(["check", "web.toml"]) == 0
    assert invoke(["new", "deployment", "web", "--plugins", "ops"]) == 1
    assert (here / "web.toml").read_text() == text


@pytest.mark.needs("rolehost_webhooks")
def test_a_deployment_of_a_role_enables_the_plugins_of_the_role(here: Path):
    assert invoke(["new", "deployment", "work", "--role", "consumer"]) == 0
    text = (here / "work.toml").read_text()
    assert 'roles = ["consumer"]' in text
    assert "webhooks-ingest" in text


@pytest.mark.needs("rolehost_webhooks", "rolehost_kafka", "rolehost_postgres", "rolehost_redis")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--plugins", "embedded,ops,webhooks-api,webhooks-delivery", "--role", "http"],
        ["--plugins", "embedded,postgres,redis,kafka,webhooks-delivery,webhooks-ingest"],
        ["--plugins", "postgres,webhooks-ingest"],
        ["--plugins", "redis,webhooks-delivery", "--role", "scheduler"],
        ["--plugins", "webhooks-api,webhooks-api"],
        *(["--role", role] for role in ("http", "worker", "consumer", "scheduler")),
        ["--role", "worker", "--role", "http"],
    ],
    ids=" ".join,
)
def test_a_deployment_that_is_written_passes_check(here: Path, arguments: list[str]):
    assert invoke(["new", "deployment", "web", *arguments]) == 0
    assert invoke(["check", "web.toml"]) == 0


@pytest.mark.needs("rolehost_webhooks")
def test_roles_of_the_plugins_are_declared_and_only_requested_roles_run(here: Path):
    plugins = "embedded,webhooks-api,webhooks-delivery"
    assert invoke(["new", "deployment", "web", "--plugins", plugins, "--role", "http"]) == 0
    text = (here / "web.toml").read_text()
    assert '[deployment]\nroles = ["http", "scheduler", "worker"]\n' in text
    assert "[fleet]\n# scheduler, worker: for other deployments of the fleet to run\n" in text
    assert 'roles = ["http"]\n' in text


@pytest.mark.needs("rolehost_graphql")
def test_plugins_that_make_no_deployment_leave_no_file(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    assert invoke(["new", "deployment", "web", "--plugins", "graphql"]) == 1
    said = capsys.readouterr().err
    assert "graphql-empty: no enabled plugin contributes a query field" in said
    assert "nothing was written: rolehost check would refuse this deployment" in said
    assert list(here.iterdir()) == []


def test_settings_that_must_be_filled_in_are_listed(
    here: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    site = tmp_path_factory.mktemp("site")
    write_plugin(site, "needy", NEEDY)
    monkeypatch.syspath_prepend(site)
    assert invoke(["new", "deployment", "web", "--plugins", "needy"]) == 0
    assert "fill in: [needy] key, [needy] region" in capsys.readouterr().out
    assert invoke(["check", "web.toml"]) == 3
    text = (here / "web.toml").read_text()
    text = text.replace("# region =", 'region = "eu"').replace('# key = "${KEY}"', 'key = "k"')
    (here / "web.toml").write_text(text)
    assert invoke(["check", "web.toml"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --plugins or --role"),
        (["--plugins", "ops", "--role", "worker"], "none of ops needs the role worker"),
        (["--plugins", "embeded"], 'did you mean "embedded"?'),
    ],
)
def test_a_deployment_that_cannot_be_created_is_refused_with_the_reason(
    here: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
):
    assert invoke(["new", "deployment", "web", *arguments]) == 1
    assert words in capsys.readouterr().err
    assert list(here.iterdir()) == []
