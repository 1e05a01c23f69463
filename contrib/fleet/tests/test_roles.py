from __future__ import annotations

from pathlib import Path

import pytest
from rolehost.cli.main import invoke
from rolehost.composition import compose
from rolehost.deployment import load
from rolehost.supervisor.plan import ProcessPlan

from tests.proofs.fleet_check_plugins import Page, actor, plugin

pytestmark = pytest.mark.needs("rolehost_embedded")


def planned(path: Path, only: tuple[str, ...] = ()) -> list[str]:
    from rolehost.api import Route

    shop = plugin(actor("shop.pack"), Route("/shop", Page()))
    composition = compose(load(path, environ={}), extra={"shop": shop})
    return [role.role for role in ProcessPlan.of(composition, only=only).roles]


def write(folder: Path, plugins: str, roles: str) -> Path:
    path = folder / "one.toml"
    path.write_text(f"plugins = {plugins}\n[fleet]\nroles = {roles}\n", encoding="utf-8")
    return path


def test_the_roles_of_the_section_are_what_is_run(tmp_path: Path) -> None:
    assert planned(write(tmp_path, '["embedded", "shop"]', '["worker"]')) == ["worker"]


def test_the_option_decides_over_the_section(tmp_path: Path) -> None:
    path = write(tmp_path, '["embedded", "shop"]', '["worker"]')

    assert planned(path, only=("http",)) == ["http"]


@pytest.mark.needs("rolehost_ops")
def test_a_section_that_names_none_of_its_roles_has_nothing_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, '["embedded", "ops"]', '["worker"]')

    assert invoke(["run", str(path)]) == 5
    assert "need the roles http, but [fleet] roles does not list them" in capsys.readouterr().err
