"""Packages: the layers of templates that each is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import rolehost
from rolehost.api.versions import PLUGIN_API
from rolehost.scaffold.names import Name
from rolehost.scaffold.writing import Files, render
from rolehost.storage import Kind

#: Licences on offer, as SPDX writes them, and the folder of each one's text.
LICENSES = {
    "Apache-2.0": "apache",
    "MIT": "mit",
    "LicenseRef-Proprietary": "proprietary",
}


@dataclass(frozen=True, slots=True)
class Beginning:
    """What differs between the backends that authors begin with, outside their own files.

    Attributes:
        given: arguments of the settings in the conformance tests.
        requires: distributions that the package needs besides.
        settings: key, default and meaning of each.
    """

    given: str = ""
    requires: tuple[str, ...] = ()
    settings: tuple[tuple[str, str, str], ...] = ()


#: The backends that there are templates for.
BACKENDS: dict[Kind, Beginning] = {
    "cache": Beginning(settings=(("entries", "10000", "most entries, in each process"),)),
}

#: Characters that mean something in one of the files that the words are put into.
_SPECIAL = re.compile(r"[\"\\%\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Options:
    """What an author may choose.

    Attributes:
        summary: one line; empty makes one.
        author: who is named as the author; empty names those of the package.
        license: a key of :data:`LICENSES`.

    Raises:
        ValueError: a text cannot be put into all files as it is.
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
    """Return the package of a plugin that has one of each contribution."""
    marks = _marks(name, options, f"The plugin {name.plugin}")
    return _layers(name, marks, "common", "plugin", f"license/{LICENSES[options.license]}")


def backend(name: Name, kind: Kind, options: Options) -> Files:
    """Return the package of a plugin that offers a backend of a storage kind."""
    beginning = BACKENDS[kind]
    marks = _marks(name, options, f"A {kind} for rolehost")
    marks |= {
        "kind": kind,
        "Kind": kind.capitalize(),
        "given": beginning.given,
        "requires": "".join(f"    {each}\n" for each in beginning.requires),
        "settings": "\n".join(
            f"| `{row[0]}` | {row[1]} | {row[2]} |" for row in beginning.settings
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
