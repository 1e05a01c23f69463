"""The texts of a deployment, kept and read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rolehost.api import Secret
from rolehost.deployment import Sources, load
from rolehost.supervisor.descriptors import anonymous_file


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("hidden")
    (tmp_path / "base.toml").write_text('[log]\nlevel = "error"\n')
    path = tmp_path / "d.toml"
    path.write_text('include = ["base.toml"]\n[mine]\ntoken = "${file:secret}"\n')
    return path


def test_a_deployment_is_read_again_unchanged(deployment: Path) -> None:
    sources = Sources()
    before = load(deployment, sources=sources)
    number = anonymous_file()
    sources.write(number)
    for file in ("d.toml", "base.toml", "secret"):
        deployment.with_name(file).unlink()
    try:
        for _ in range(2):
            again = load(deployment, sources=Sources.from_descriptor(number))
            assert (again.host, again.plugins) == (before.host, before.plugins)
            assert again.sections["mine"]["token"] == Secret("hidden")
    finally:
        os.close(number)


def test_the_kept_file_has_no_name_and_is_not_inherited(deployment: Path) -> None:
    number = anonymous_file()
    try:
        assert not os.get_inheritable(number)
        assert os.fstat(number).st_nlink == 0
    finally:
        os.close(number)


def test_nothing_is_kept_by_default(deployment: Path) -> None:
    load(deployment)
    deployment.write_text('[log]\nlevel = "debug"\n')
    assert load(deployment).host.log.level == "debug"
