"""Pins: a plugin that differs from the tested one is refused before it is imported."""

from __future__ import annotations

import hashlib
import json
import sys
from base64 import urlsafe_b64encode

import pytest
from rolehost.cli.main import invoke
from rolehost.composition import examine
from rolehost.deployment import load

from tests.check.casefile import install
from tests.host.installed import INTRODUCTION

NAME = "pinned_acme"


class Place:
    """A folder of installed distributions and a deployment of one of their plugins."""

    def __init__(self, folder):
        self.site = folder / "site"
        self.package = self.site / NAME
        self.package.mkdir(parents=True)
        self.file = folder / "shop.toml"
        self.pins = folder / "shop.pins.toml"
        self.wheel("1.0")
        self.write(f'plugins = ["{NAME}"]\n')

    @property
    def info(self):
        (folder,) = self.site.glob("*.dist-info")
        return folder

    def write(self, text):
        self.file.write_text(text)

    def wheel(self, version, source=INTRODUCTION):
        """Install as an installer does: files, metadata, and the record of both."""
        for old in self.site.glob("*.dist-info/*"):
            old.unlink()
        for old in self.site.glob("*.dist-info"):
            old.rmdir()
        (self.package / "__init__.py").write_text(f'"""Says that it was imported."""\n{source}')
        (self.package / "words.txt").write_text("some data")
        install(self.site, "pinned-acme", version, f"{NAME} = {NAME}")
        self.record()

    def record(self):
        files = [*self.package.glob("*.*"), *self.info.glob("*")]
        rows = [
            f"{file.relative_to(self.site)},sha256={encoded(file)},{file.stat().st_size}"
            for file in files
            if file.name != "RECORD"
        ]
        rows += [
            f"{self.info.name}/RECORD,,",
            f"{NAME}/__pycache__/__init__.cpython-311.pyc,,",
            "../../bin/acme,sha256=differs,5",
        ]
        (self.info / "RECORD").write_text("\n".join(rows) + "\n")

    def pin(self):
        assert invoke(["plugins", "--pin", str(self.file)]) == 0
        self.write(f'plugins = ["{NAME}"]\n[deployment]\npins = "shop.pins.toml"\n')

    def examined(self):
        return examine(load(self.file, environ={}))

    def problem(self):
        composition, (problem,) = self.examined()
        assert composition is None
        assert NAME not in sys.modules, "it was imported"
        return problem


def encoded(file):
    digest = hashlib.sha256(file.read_bytes()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.fixture
def place(tmp_path, monkeypatch):
    made = Place(tmp_path)
    monkeypatch.syspath_prepend(str(made.site))
    yield made
    sys.modules.pop(NAME, None)


def test_an_unchanged_pinned_distribution_is_composed(place, capsys):
    place.pin()
    assert NAME not in sys.modules, "pinning imported it"
    assert 'pins = "shop.pins.toml" in [deployment]' in capsys.readouterr().out
    composition, problems = place.examined()
    assert composition is not None, problems


def test_the_file_names_distribution_version_and_hash(place):
    place.pin()
    text = place.pins.read_text()
    assert f'["{NAME}"]' in text
    assert 'distribution = "pinned-acme"\nversion = "1.0"\nhash = "sha256:' in text


def test_an_installation_elsewhere_and_its_byte_code_change_nothing(place):
    place.pin()
    (place.info / "INSTALLER").write_text("another")
    (place.info / "direct_url.json").write_text(json.dumps({"url": "file:///elsewhere"}))
    cache = place.package / "__pycache__"
    cache.mkdir()
    (cache / "__init__.cpython-311.pyc").write_bytes(b"other")
    place.record()
    composition, problems = place.examined()
    assert composition is not None, problems


def test_a_changed_file_is_named(place):
    place.pin()
    (place.package / "words.txt").write_text("same size")
    problem = place.problem()
    assert problem.code == "changed-plugin"
    assert problem.who == f"plugin {NAME} (pinned-acme 1.0)"
    assert problem.got == f"{place.package / 'words.txt'} was changed"
    assert "install pinned-acme==1.0 again" in problem.fix


def test_a_missing_file_is_named(place):
    place.pin()
    (place.package / "words.txt").unlink()
    assert f"{place.package / 'words.txt'} cannot be read" in place.problem().got


def test_another_version_is_named(place):
    place.pin()
    place.wheel("1.1")
    problem = place.problem()
    assert problem.got == "pinned-acme 1.1"
    assert problem.expected.startswith("pinned-acme 1.0, sha256:")


def test_another_build_of_the_same_version_is_refused(place):
    place.pin()
    place.wheel("1.0", INTRODUCTION.replace("made for a test", "made for another"))
    assert place.problem().got == "another build of pinned-acme 1.0"


def test_an_enabled_plugin_without_a_pin_is_refused(place):
    place.pin()
    place.pins.write_text("")
    problem = place.problem()
    assert (problem.code, problem.got) == ("unpinned-plugin", "pins for none")


def test_pins_that_cannot_be_read_let_nothing_be_imported(place):
    place.pin()
    place.pins.unlink()
    assert place.problem().code == "unreadable-pins"
    place.pins.write_text(f"[{NAME}]\nversion = 1\n")
    assert place.problem().code == "unreadable-pins"


def test_a_plugin_that_differs_is_not_degraded(place):
    place.pin()
    with place.file.open("a") as file:
        file.write(f'[on_failure]\n{NAME} = "degrade"\n')
    (place.package / "words.txt").unlink()
    assert place.problem().code == "changed-plugin"


def test_an_editable_installation_cannot_be_pinned(place, capsys):
    (place.info / "direct_url.json").write_text('{"url": "", "dir_info": {"editable": true}}')
    assert invoke(["plugins", "--pin", str(place.file)]) == 1
    reported = capsys.readouterr().err
    assert f"cannot pin {NAME} (pinned-acme 1.0): it is an editable install" in reported
    assert not place.pins.exists()


def test_a_distribution_without_a_wheel_cannot_be_pinned(place, capsys):
    (place.info / "RECORD").unlink()
    assert invoke(["plugins", "--pin", str(place.file)]) == 1
    assert "has no RECORD of its files" in capsys.readouterr().err


def test_a_missing_distribution_cannot_be_pinned(place, capsys):
    place.write('plugins = ["nobody"]\n')
    assert invoke(["plugins", "--pin", str(place.file)]) == 1
    assert "cannot pin nobody: no installed distribution provides it" in capsys.readouterr().err
