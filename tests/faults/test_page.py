"""The examples of docs/failures.md are true, and docs/errors.md explains each code."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.check.casefile import ISOLATED, install
from tests.docs.pages import blocks, extract
from tests.proofs.faulty_cases import cases
from tests.proofs.faulty_plugins import NEVER
from tests.proofs.kit import ROOT

PAGE = ROOT / "docs" / "failures.md"
CODES = ROOT / "docs" / "errors.md"

SHOP = """
from rolehost.api import PluginInfo, Route, hookimpl


class Shop:
    async def on_get(self, req, resp):
        resp.media = []


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=2)


@hookimpl
def rolehost_routes():
    return [Route("/shop", Shop())]
"""


@pytest.fixture
def folder(tmp_path):
    extract(PAGE, tmp_path)
    (tmp_path / "shop.py").write_text(SHOP)
    for name in ("shop", "news"):
        install(tmp_path, f"acme-{name}", "1.0", f"{name} = {name}")
    return tmp_path


@pytest.mark.parametrize(("output", "status"), [("degrade", 0), ("abort", 3)])
def test_the_examples_show_the_output_of_the_command(folder, output, status):
    file = folder / "rolehost.toml"
    if output == "abort":
        file.write_text(file.read_text().replace('news = "degrade"', 'news = "abort"'))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ROLEHOST")}
    done = subprocess.run(
        [sys.executable, str(ISOLATED), "check", "rolehost.toml"],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    (expected,) = (each for each in blocks(PAGE) if each.attributes.get("output") == output)
    assert (done.returncode, done.stdout) == (status, expected.text)


def test_every_code_that_the_proof_provokes_is_explained():
    named = set(re.findall(r"`([a-z-]+)`", CODES.read_text("utf-8")))
    provoked = {case.code for case in cases(short=False) if case.code}
    assert provoked | {code for _, code in NEVER.values()} <= named
