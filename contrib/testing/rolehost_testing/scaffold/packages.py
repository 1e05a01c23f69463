"""Generate packages from layers of templates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import rolehost
from rolehost.api.versions import PLUGIN_API
from rolehost.storage import Kind

from rolehost_testing.scaffold.names import Name
from rolehost_testing.scaffold.writing import Files, render

#: Available licences: SPDX identifier → folder of the text.
LICENSES = {
    "Apache-2.0": "apache",
    "MIT": "mit",
    "LicenseRef-Proprietary": "proprietary",
}


@dataclass(frozen=True, slots=True)
class Beginning:
    """The values in shared templates that differ between the backend templates.

    Attributes:
        given: arguments of the settings in the conformance tests.
        requires: additional required distributions.
        settings: key, default and description of each setting.
    """

    given: str = ""
    requires: tuple[str, ...] = ()
    settings: tuple[tuple[str, str, str], ...] = ()


#: The storage kinds with backend templates.
BACKENDS: dict[Kind, Beginning] = {
    "database": Beginning(
        given='path=tmp_path / "service.db"',
        requires=("peewee>=4",),
        settings=(
            ("path", '"acme-name.db"', "the database file; relative to the deployment file"),
            (
                "busy_timeout",
                "10",
                "seconds that a writer waits for the write lock; then `StorageBusy`",
            ),
        ),
    ),
    "cache": Beginning(
        settings=(("entries", "10000", "maximum number of entries of each process"),)
    ),
    "queue": Beginning(
        given='path=tmp_path / "wakes.db"',
        settings=(
            ("path", '"wakes.db"', "the file; relative to the deployment file"),
            ("interval", "0.02", "seconds between two polls of a waiting process"),
        ),
    ),
    "stream": Beginning(
        given='path=tmp_path / "stream.db", member_lease=1.0',
        settings=(
            ("path", '"stream.db"', "the file; relative to the deployment file"),
            ("partitions", "4", "of every topic; do not change it after the first record"),
            ("interval", "0.02", "seconds between two polls of a waiting member"),
            (
                "member_lease",
                "10",
                "seconds without a poll after which a member loses its partitions",
            ),
        ),
    ),
}

#: Characters with a special meaning in one of the generated files.
_SPECIAL = re.compile(r"[\"\\%\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a new package.

    Attributes:
        summary: a one-line summary; if empty, a default summary.
        author: name of the author; if empty, the authors of the package.
        license: a key of :data:`LICENSES`.

    Raises:
        ValueError: a text has characters that cannot be written to all files unchanged.
    """

    summary: str = ""
    author: str = ""
    license: str = "Apache-2.0"

    def __post_init__(self) -> None:
        for word in ("summary", "author"):
            text = getattr(self, word)
            if _SPECIAL.search(text) or len(text) > 60:
                raise ValueError(
                    f'the {word} {text!r} is no line of at most 60 characters without ", \\ and %'
                )


def plugin(name: Name, options: Options) -> Files:
    """Return the package of a plugin with one contribution of each type."""
    marks = _marks(name, options, f"The plugin {name.plugin}")
    return _layers(name, marks, "common", "plugin", f"license/{LICENSES[options.license]}")


def backend(name: Name, kind: Kind, options: Options) -> Files:
    """Return the package of a plugin with a backend of a storage kind."""
    beginning = BACKENDS[kind]
    marks = _marks(name, options, f"A {kind} for rolehost")
    imports = (
        f"from {name.module}.{kind} import {name.prefix}{kind.capitalize()}",
        f"from {name.module}.settings import {name.prefix}Settings",
    )
    marks |= {
        "kind": kind,
        "modules": "\n".join(sorted(imports)),
        "Kind": kind.capitalize(),
        "imports": ", ".join(
            sorted(("Backend", "DeclareContext", "PluginInfo", kind.capitalize()))
        ),
        "given": beginning.given,
        "requires": "".join(f"    {each}\n" for each in beginning.requires),
        "settings": "\n".join(
            f"| `{key}` | {default.replace('acme-name', name.plugin)} | {meaning} |"
            for key, default, meaning in beginning.settings
        ),
    }
    terms = f"license/{LICENSES[options.license]}"
    return _layers(name, marks, "common", "backend/common", f"backend/{kind}", terms)


def _layers(name: Name, marks: dict[str, str], *folders: str) -> Files:
    made: dict[str, str] = {}
    for folder in folders:
        made |= render(folder, name, marks)
    return dict(sorted(made.items()))


def _marks(name: Name, options: Options, summary: str) -> dict[str, str]:
    return {
        "api": str(PLUGIN_API),
        "author": options.author or f"The authors of {name.distribution}",
        "host": ".".join(rolehost.__version__.split(".")[:2]),
        "license": options.license,
        "summary": options.summary or summary,
        "year": str(datetime.now(UTC).year),
    }
