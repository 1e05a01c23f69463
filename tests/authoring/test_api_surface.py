"""The plugin API: every change is noticed, and every name is documented.

After a change that is meant: a line in CHANGELOG.md, PLUGIN_API raised where plugins have to
change (then the golden text gets the new number in its name), and
``ROLEHOST_GOLDEN=write python -m pytest tests/authoring/test_api_surface.py``.
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
from pathlib import Path
from typing import Any

import pytest
from rolehost.api import PLUGIN_API

pytest.importorskip("falcon")

from scripts.api_surface import public, surface

GOLDEN = Path(__file__).with_name(f"api-{PLUGIN_API}.txt")
NAMES = {
    name: thing for name, thing in public() if inspect.isclass(thing) or inspect.isroutine(thing)
}


def test_the_surface_of_this_plugin_api_is_what_it_was():
    text = "\n".join(surface()) + "\n"
    if os.environ.get("ROLEHOST_GOLDEN") == "write":
        GOLDEN.write_text(text, "utf-8")
    golden = GOLDEN.read_text("utf-8")
    changes = "\n".join(difflib.unified_diff(golden.splitlines(), text.splitlines(), lineterm=""))
    assert not changes, f"{changes}\n\n{__doc__}"


def test_a_changed_signature_shows(monkeypatch: pytest.MonkeyPatch):
    before = surface()

    def fresh(self: Any, actor: str, *, delay: int = 3) -> None:
        """Another signature."""

    monkeypatch.setattr("rolehost.api.UnitOfWork.enqueue", fresh)
    changed = set(surface()) ^ set(before)
    assert any(
        line.startswith("UnitOfWork.enqueue(actor: str, *, delay: int = 3)") for line in changed
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_documented_with_its_fields_and_methods(name: str):
    thing = NAMES[name]
    documented = inspect.getdoc(thing)
    assert documented, f"{name} has no docstring"
    if not inspect.isclass(thing):
        return
    lacking = [
        member
        for member, value in vars(thing).items()
        if not member.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property))
        and not inspect.getdoc(getattr(thing, member))
    ]
    assert not lacking, f"{name}: no docstring: {', '.join(lacking)}"
    described = f"{documented}\n{inspect.getsource(thing)}"
    fields = [name for name in inspect.get_annotations(thing) if not name.startswith("_")]
    lacking = [
        name
        for name in fields
        if f"{name}: " not in documented and not re.search(rf"#: .*\n +{name}\b", described)
    ]
    assert not lacking, f"{name}: not described under Attributes: {', '.join(lacking)}"
