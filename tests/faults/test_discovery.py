"""Discovery finds the same plugins as importlib.metadata."""

from __future__ import annotations

import importlib.metadata
import sys
import zipfile

from rolehost.discovery import installed

from tests.check.casefile import install

POINTS = """\
[console_scripts]
acme = acme:main

 [ rolehost ]
# a comment
one = acme.one
two=acme.two:plugin [extra]

[rolehost.degradable]
one = acme.one

[rolehost.other]
three = acme.three
"""


def points(folder, text=POINTS):
    install(folder, "acme-things", "1.0", "")
    (folder / "acme_things-1.0.dist-info" / "entry_points.txt").write_text(text)


def found_plugins(path):
    return [(each.name, each.target, each.degradable) for each in installed([str(path)])]


def test_groups_comments_spaces_and_extras_are_read_as_they_are_meant(tmp_path):
    points(tmp_path)
    assert found_plugins(tmp_path) == [("one", "acme.one", True), ("two", "acme.two:plugin", False)]


def test_a_distribution_in_a_zip_file_is_found(tmp_path):
    points(tmp_path / "site")
    archive = tmp_path / "acme.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in (tmp_path / "site").rglob("*.*"):
            file.write(path, path.relative_to(tmp_path / "site"))
    assert found_plugins(archive) == [("one", "acme.one", True), ("two", "acme.two:plugin", False)]
    assert installed([str(archive)])[0].metadata == ""


def test_a_custom_finder_is_used(tmp_path, monkeypatch):
    points(tmp_path)

    class Finder:
        def find_spec(self, *_):
            return None

        def find_distributions(self, context):
            here = importlib.metadata.DistributionFinder.Context(path=[str(tmp_path)])
            return importlib.metadata.MetadataPathFinder.find_distributions(here)

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert {"one", "two"} <= {each.name for each in installed()}


def test_folders_that_cannot_be_read_and_files_that_are_no_text_are_passed_over(tmp_path):
    points(tmp_path, "")
    (tmp_path / "acme_things-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "other-1.0.dist-info").write_text("a file, and no folder")
    assert found_plugins(tmp_path) == found_plugins(tmp_path / "nowhere") == []


def test_a_distribution_without_headers_is_still_listed(tmp_path):
    points(tmp_path)
    (tmp_path / "acme_things-1.0.dist-info" / "METADATA").unlink()
    found = installed([str(tmp_path)])
    assert {(each.distribution, each.version) for each in found} == {("(unnamed)", "(no version)")}
