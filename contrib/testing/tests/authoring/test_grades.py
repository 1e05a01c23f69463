"""Unmet criteria of a plugin are found. Our plugins: tests/docs/test_grades.py."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from rolehost.cli.main import invoke
from rolehost.discovery import installed
from rolehost_testing.grading import CRITERIA, Finding, Grade, grade
from rolehost_testing.grading.judging import _JUDGES

from tests.check.casefile import install

pytestmark = [
    pytest.mark.processes,
    pytest.mark.needs("rolehost_embedded"),
    pytest.mark.needs("falcon"),
]

PLAIN = """
from rolehost.api import PluginInfo, hookimpl


@hookimpl
def rolehost_plugin() -> PluginInfo:
    return PluginInfo(api=2, summary="Plain")
"""


def made(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Grade:
    """Grade a plugin of one module, which is installed in a folder."""
    install(folder, "acme-plugin", "1.2", "acme = acme_graded")
    (folder / "acme_graded.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    (found,) = [each for each in installed() if each.name == "acme"]
    # Trials are kept for the time of a command; each of these is of another plugin.
    from rolehost_testing.grading import judging

    judging._tried.cache_clear()
    return grade(found)


@pytest.fixture(scope="module")
def known() -> dict[str, Grade]:
    """Grades of plugins that several tests look at, by their text."""
    return {}


def finding(graded: Grade, name: str) -> Finding:
    return next(each for each in graded.findings if each.criterion.name == name)


SETTINGS = """
from typing import Any

from rolehost.api import PluginInfo, Settings, hookimpl


class Some(Settings, frozen=True):
    '''Nothing is described but this.

    Attributes:
        size: bytes.
    '''

    size: int = 1
    password: str = ""
    anything: Any = None


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=1, settings=Some)
"""

WORKING = """
from rolehost.api import Backend, Event, PluginInfo, hookimpl
from rolehost.composition import compose

TOPIC = "acme.done"


@hookimpl
def rolehost_plugin() -> PluginInfo:
    return PluginInfo(api=2, summary="Works", enqueues=("acme.known",))


def work(services):
    services.enqueue("acme.known")
    services.enqueue("acme.unknown", size=1)
    services.publish(Event(topic=TOPIC, type="done", data=None))


class Eager:
    def __init__(self) -> None:
        import socket

        with socket.socket() as probe:
            probe.connect_ex(("127.0.0.1", 9))

    def close(self) -> None:
        pass


@hookimpl
def rolehost_backends() -> list:
    return [Backend(kind="cache", name="eager", factory=Eager, capabilities=frozenset())]
"""

LEAKING = """
import threading

from rolehost.api import PluginInfo, hookimpl


@hookimpl
def rolehost_plugin() -> PluginInfo:
    return PluginInfo(api=2, summary="Leaks")


@hookimpl
def rolehost_start(context) -> None:
    threading.Thread(target=threading.Event().wait, name="leaked", daemon=True).start()
    context.services.get  # noqa: B018
    kept.append(open(__file__))


kept = []
"""

ACTING = """
import socket
import subprocess
import sys
import threading

from rolehost.api import PluginInfo, hookimpl

threading.Thread(target=print).start()


@hookimpl
def rolehost_plugin() -> PluginInfo:
    subprocess.run([sys.executable, "-c", ""])
    with open("/etc/hostname") as file, socket.socket() as probe:
        probe.connect_ex(("127.0.0.1", 9))
    return PluginInfo(api=2, summary="Acts")
"""


HEAVY = (
    PLAIN
    + """
import time

end = time.process_time() + 0.8
for _ in iter(lambda: time.process_time() > end, True):
    pass
"""
)


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("raise RuntimeError('no')", "loads", "RuntimeError"),
        ("while True: pass", "loads", "did not come to an end"),
        (ACTING, "pure", r"_thread\.start_\w+_thread .*at acme_graded:9"),
        (ACTING, "pure", "subprocess.Popen .* at acme_graded:14"),
        (ACTING, "pure", "socket.connect"),
        (ACTING, "pure", "open /etc/hostname at acme_graded:15"),
        (PLAIN.replace('summary="Plain"', ""), "summary", "empty"),
        (PLAIN, "licence", "says none"),
        (PLAIN, "typed", "py.typed is missing"),
        (PLAIN, "pythons", "classifier of Python 3.11 is missing"),
        (HEAVY, "light", r"^\d\.\d+ s$"),
        (PLAIN, "readme", "there is none"),
        (SETTINGS, "settings-typed", "^anything$"),
        (SETTINGS, "settings-documented", "^password; anything$"),
        (SETTINGS, "secrets", "^password$"),
        (SETTINGS, "hooks-typed", r"rolehost_plugin \(acme_graded:\d+\)"),
        (SETTINGS, "api-current", "says 1; this host has 2"),
        (WORKING, "api-only", r"rolehost.composition.compose at acme_graded.py:3"),
        (WORKING, "declared", r"^the actor acme.unknown at .*; the topic acme.done at .*$"),
        (WORKING, "lazy-backends", "cache eager: socket.connect"),
        (LEAKING, "start-stop", "the thread leaked"),
        (LEAKING, "start-stop", "a descriptor is left: .*acme_graded.py"),
    ],
)
def test_unmet_criteria_are_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    known: dict[str, Grade],
    text: str,
    name: str,
    words: str,
):
    monkeypatch.setattr(
        "rolehost_testing.grading.judging.PATIENCE", 3.0 if "while" in text else 60.0
    )
    if text not in known:
        known[text] = made(tmp_path, text, monkeypatch)
    found = finding(known[text], name)
    assert found.state == "unmet", found
    assert re.search(words, found.detail), found.detail


def test_a_migration_that_cannot_be_taken_back_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    text = PLAIN.replace("import PluginInfo", "import Migrations, PluginInfo") + (
        "\n\n@hookimpl\ndef rolehost_migrations() -> list[Migrations]:\n"
        "    return [Migrations(package='acme_sql')]\n"
    )
    (tmp_path / "acme_sql").mkdir()
    (tmp_path / "acme_sql/__init__.py").write_text("")
    (tmp_path / "acme_sql/0001_things.sql").write_text(
        "-- up\nCREATE TABLE acme_things (id INTEGER);\nCREATE TABLE acme_more (id INTEGER);\n"
        "-- down\nDROP TABLE acme_things;\n"
    )
    found = finding(made(tmp_path, text, monkeypatch), "reversible")
    assert found.state == "unmet"
    assert "acme: down does not revert acme_more" in found.detail


def test_a_plain_plugin_fails_only_the_criteria_of_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    graded = made(tmp_path, PLAIN, monkeypatch)
    unmet = {each.criterion.name for each in graded.findings if each.state == "unmet"}
    assert unmet == {"licence", "typed", "pythons", "readme", "wheel"}
    assert finding(graded, "conformance").state == "none"
    assert finding(graded, "errors-tested").state == "open"
    assert graded.level is None


@pytest.mark.parametrize(("body", "state"), [("assert True", "met"), ("assert False", "unmet")])
def test_its_tests_run_with_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, state: str
):
    made(tmp_path, PLAIN, monkeypatch)
    (found,) = [each for each in installed() if each.name == "acme"]
    source = tmp_path / "source"
    (source / "tests").mkdir(parents=True)
    (source / "tests/test_acme.py").write_text(f"def test_it():\n    {body}\n")
    assert finding(grade(found, source=source, tests=True), "tests").state == state
    assert finding(grade(found, source=source), "tests").holds


def test_every_criterion_has_a_judge_and_advice():
    names = [each.name for each in CRITERIA]
    assert len(set(names)) == len(names)
    assert set(names) == {*_JUDGES, "tests"}
    assert all(each.what and each.advice for each in CRITERIA)
    assert isinstance(_JUDGES, dict | MappingProxyType)


def test_the_command_shows_the_level_and_the_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    made(tmp_path, SETTINGS, monkeypatch)
    assert invoke(["plugins", "grade", "acme", "--at-least", "bronze"]) == 1
    said = capsys.readouterr().out
    assert "acme (acme-plugin 1.2): no level" in said
    assert "to do: give the field the type rolehost.api.Secret" in said
    assert invoke(["plugins", "grade", "acmee"]) == 2
    assert 'did you mean "acme"?' in capsys.readouterr().err


def test_listing_plugins_needs_no_command(capsys: Any):
    assert invoke(["plugins", "--json"]) == 0
    plain = capsys.readouterr().out
    assert invoke(["plugins", "list", "--json"]) == 0
    assert capsys.readouterr().out == plain
