"""From a path, the environment and the command line to a :class:`Deployment`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from rolehost.api.settings import Secret
from rolehost.deployment.decode import decode
from rolehost.deployment.files import Files, Leaf, Tree, merge
from rolehost.deployment.model import Deployment, Failure, HostSettings, Origin
from rolehost.deployment.overrides import PLUGINS, from_command_line, from_environment
from rolehost.deployment.references import Resolver, Written, holds
from rolehost.deployment.sources import Sources
from rolehost.deployment.wording import describe_value
from rolehost.errors import ConfigurationError, Problem
from rolehost.redaction import hide
from rolehost.suggest import did_you_mean

#: The host's own sections, by name.
HOST_SECTIONS: dict[str, Any] = {
    field.name: field.type for field in msgspec.structs.fields(HostSettings)
}

#: The table that says what happens when a plugin fails.
ON_FAILURE = "on_failure"

#: Settings that are names. What a variable gives them is shown, unlike that of other settings.
NAMES = frozenset({"deployment.name", "fleet.name", "fleet.machine"})

FAILURES = get_args(Failure)


def load(
    path: Path | None,
    *,
    plugins: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    sources: Sources | None = None,
) -> Deployment:
    """Read a deployment.

    Args:
        path: the file; None reads overrides only.
        plugins: what ``--plugins`` says; None keeps the file's list.
        environ: environment variables; None takes the process's own.
        sources: gives the texts of files and notes them; None reads from disk.

    Raises:
        ConfigurationError: with every mistake in the files and in the host's own sections.
            The plugins' sections are judged by composing.
    """
    deployment, problems = read(path, plugins=plugins, environ=environ, sources=sources)
    if problems:
        raise ConfigurationError(problems)
    return deployment


def read(
    path: Path | None,
    *,
    plugins: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    sources: Sources | None = None,
) -> tuple[Deployment, list[Problem]]:
    """Read a deployment and return it with its mistakes; wrong host sections have defaults.

    Parameters as of :func:`load`.
    """
    environ = os.environ if environ is None else environ
    who = f"deployment {path}" if path else "deployment (no file)"
    sources = Sources() if sources is None else sources
    files = Files([], {}, sources)
    tree: Tree = files.tree(path) if path else {}
    named = [leaf] if isinstance(leaf := tree.get(PLUGINS), Leaf) else []
    enabled = [str(name) for leaf in named if isinstance(leaf.value, list) for name in leaf.value]
    merge(tree, from_environment(environ, (*HOST_SECTIONS, ON_FAILURE, *tree, *enabled)))
    if plugins is not None:
        merge(tree, from_command_line(plugins))
    reader = _Reader(who, Resolver(environ, who, sources=sources))
    for table, origin in files.tables.items():
        reader.origins[table] = Origin(origin)
    values = reader.branch(tree, "")
    names = reader.plugin_names(values.pop(PLUGINS, []), tree.get(PLUGINS))
    sections = reader.sections(values)
    host = reader.host(sections, Path(path).parent if path else Path())
    on_failure = reader.on_failure(sections.pop(ON_FAILURE, {}))
    deployment = Deployment(
        name=host.deployment.name or (Path(path).stem if path else "rolehost"),
        path=path,
        plugins=names,
        host=host,
        sections=sections,
        origins=reader.origins,
        listed=tuple(enabled),
        on_failure=on_failure,
    )
    hide(who, reader.resolver.files, reader.resolver.variables)
    problems = [*files.problems, *reader.resolver.problems, *reader.problems]
    return deployment, deployment.discreet(problems)


class _Reader:
    """Turns a tree of leaves into plain values, keeping origins and mistakes."""

    def __init__(self, who: str, resolver: Resolver) -> None:
        self.who = who
        self.resolver = resolver
        self.origins: dict[str, Origin] = {}
        self.problems: list[Problem] = []

    def branch(self, tree: Tree, above: str) -> dict[str, Any]:
        """Return a tree's values, references resolved."""
        values: dict[str, Any] = {}
        for key, node in tree.items():
            path = f"{above}{key}"
            if isinstance(node, Leaf):
                values[key] = self.leaf(node, path)
            else:
                values[key] = self.branch(node, f"{path}.")
        return values

    def leaf(self, leaf: Leaf, path: str) -> Any:
        """Return one value and note where it came from."""
        files, variables = self.resolver.files, self.resolver.variables
        before = len(files), len(variables)
        value = self.resolver.resolve(leaf.value, leaf.origin, leaf.folder)
        if path in NAMES:
            del variables[before[1] :]
        given = (*files[before[0] :], *variables[before[1] :])
        self.origins[path] = Origin(leaf.origin, holds(value, Secret), given)
        if not leaf.typed and isinstance(value, str):
            return Written(value)
        return value

    def plugin_names(self, value: Any, node: Leaf | Tree | None) -> tuple[str, ...]:
        """Return the enabled plugins, each with the line that enables it as an origin."""
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            self.add(
                "wrong-type",
                PLUGINS,
                "plugins is not a list of names",
                'a list of text: plugins = ["embedded", "ops"]',
                describe_value(value),
                "write the names of the enabled plugins as text in a list",
            )
            return ()
        names: list[str] = []
        for number, name in enumerate(map(str, value)):
            if isinstance(node, Leaf):
                where = node.elements[number]
                if name in names:
                    self.twice(name, where)
                    continue
                self.origins[f"{PLUGINS}.{name}"] = Origin(where)
            if name in HOST_SECTIONS or name == ON_FAILURE:
                self.reserved(name)
                continue
            names.append(name)
        return tuple(names)

    def sections(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tables; anything else at the top is a mistake."""
        tables: dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, dict):
                tables[name] = value
            elif name in HOST_SECTIONS or name == ON_FAILURE:
                self.add(
                    "wrong-type",
                    name,
                    f"{name} is not a table",
                    f"a section [{name}] with keys of its own",
                    describe_value(value),
                    f"write [{name}] on a line, and the keys below it",
                )
            else:
                known = (PLUGINS, "include", ON_FAILURE, *HOST_SECTIONS)
                self.add(
                    "unknown-key",
                    name,
                    f"{name} is no setting",
                    "plugins, include, or a [section]",
                    name,
                    did_you_mean(name, known) or f"move {name} below the [section] it belongs to",
                )
        return tables

    def host(self, sections: dict[str, Any], folder: Path) -> HostSettings:
        """Take the host's sections out and decode them; a wrong one has its defaults."""
        decoded: dict[str, Any] = {}
        for name, kind in HOST_SECTIONS.items():
            settings, problems = decode(
                kind,
                sections.pop(name, {}),
                section=name,
                origins=self.origins,
                who=self.who,
                folder=folder,
            )
            self.problems.extend(problems)
            if settings is not None:
                decoded[name] = settings
        return HostSettings(**decoded)

    def on_failure(self, values: Mapping[str, Any]) -> dict[str, Failure]:
        """Return what happens when a plugin fails, by its name, where that is written well."""
        known: dict[str, Failure] = {}
        for name, value in values.items():
            if value in FAILURES:
                known[name] = FAILURES[FAILURES.index(value)]
            else:
                self.add(
                    "wrong-value",
                    f"{ON_FAILURE}.{name}",
                    f"{ON_FAILURE} of {name} is neither {' nor '.join(FAILURES)}",
                    " or ".join(f'"{word}"' for word in FAILURES),
                    describe_value(value),
                    did_you_mean(str(value), FAILURES) or f'write {name} = "{FAILURES[0]}"',
                )
        return known

    def twice(self, name: str, where: str) -> None:
        """Report a plugin that is enabled twice."""
        first = self.origins[f"{PLUGINS}.{name}"].text
        self.problems.append(
            Problem(
                code="plugin-twice",
                who=self.who,
                where=f"{first}; {where}",
                what=f"the plugin {name} is enabled twice",
                expected="each plugin once",
                got=f"{name} at both places",
                fix="take one of them out",
            )
        )

    def reserved(self, name: str) -> None:
        """Report a plugin whose section would be one of the host's own."""
        self.add(
            "reserved-name",
            f"{PLUGINS}.{name}",
            f"a plugin cannot be named {name}: its section would be the host's [{name}]",
            f"a name other than {', '.join(HOST_SECTIONS)}",
            name,
            f"take {name} out of plugins; its author must rename the entry point",
        )

    def add(self, code: str, path: str, what: str, expected: str, got: str, fix: str) -> None:
        """Report a mistake at a key."""
        origin = self.origins.get(path)
        self.problems.append(
            Problem(
                code=code,
                who=self.who,
                where=f"{origin.text}, {path}" if origin else path,
                what=what,
                expected=expected,
                got=got,
                fix=fix,
            )
        )
