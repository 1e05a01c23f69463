"""An error that is seeded into the real deployments, and the files of its fleet."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.proofs.fleet_check_plugins import (
    plugin,
)
from tests.proofs.kit import ROOT

#: The deployments of one fleet.
FOUR = ("api", "worker", "events", "scheduler")

#: The environment of the deployments: a token, which no check reads.
ENVIRON = {"ROLEHOST_WEBHOOKS_TOKEN": "checked", "ROLEHOST_OPERATOR_TOKEN": "checked"}

#: Plugins by name; a function, so that cases do not share plugins.
Plugins = Callable[[], Mapping[str, Any]]

OTHER_POSTGRES = "postgresql://rolehost:hunter2@db2.example/rolehost"
OTHER_REDIS = "redis://:hunter2@redis2.example:6379/0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One seeded error.

    Attributes:
        name: description of the change.
        code: the only code that must be found.
        whose: exactly the deployments that must be named.
        fix: words of the error's fix.
        got: words of the error's actual value.
        fleet: the deployments to check.
        copies: new deployment → the deployment to copy.
        settings: deployment → section → key → value.
        plugins: deployment → names to enable too; ``-name`` disables one.
        extra: the plugins with these names.
        warning: True if it is a warning.
    """

    name: str
    code: str
    whose: Sequence[str]
    fix: str
    got: str = ""
    fleet: Sequence[str] = FOUR
    copies: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    plugins: Mapping[str, Sequence[str]] = field(default_factory=dict)
    extra: Plugins = dict
    warning: bool = False

    def write(self, folder: Path) -> list[Path]:
        """Write the fleet into a folder and return its files."""
        for file in (ROOT / "deploy").glob("*.toml"):
            shutil.copy(file, folder)
        for name, original in self.copies.items():
            shutil.copy(folder / f"{original}.toml", folder / f"{name}.toml")
            put(folder / f"{name}.toml", "deployment", "name", name)
        for name, changes in self.plugins.items():
            enable(folder / f"{name}.toml", changes)
        for name, sections in self.settings.items():
            for section, values in sections.items():
                for key, value in values.items():
                    put(folder / f"{name}.toml", section, key, value)
        return [folder / f"{name}.toml" for name in self.fleet]


def put(file: Path, section: str, key: str, value: Any) -> None:
    """Set a value in a deployment file; each section occurs once."""
    lines = file.read_text("utf-8").splitlines()
    if f"[{section}]" not in lines:
        lines += ["", f"[{section}]"]
    begin = lines.index(f"[{section}]") + 1
    rest = [index for index in range(begin, len(lines)) if lines[index].startswith("[")]
    end = rest[0] if rest else len(lines)
    kept = [line for line in lines[begin:end] if not line.startswith(f"{key} =")]
    lines[begin:end] = [f"{key} = {json.dumps(value)}", *kept]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def enable(file: Path, changes: Sequence[str]) -> None:
    """Enable further plugins in a deployment file, or disable some."""
    text = file.read_text("utf-8")
    begin = text.index("plugins = [")
    end = text.index("]", begin) + 1
    names = [name.strip(' \n",') for name in text[begin + len("plugins = [") : end - 1].split(",")]
    names = [name for name in names if name and f"-{name}" not in changes]
    names += [name for name in changes if not name.startswith("-")]
    file.write_text(f"{text[:begin]}plugins = {json.dumps(names)}{text[end:]}", encoding="utf-8")


def shop(**info: Any) -> Plugins:
    return lambda: {"shop": plugin(**info)}
