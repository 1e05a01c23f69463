"""Reads a :class:`Deployment` from a path, the environment and the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from rolehost.api.settings import Secret
from rolehost.deployment.decode import decode_section, fields_of, location, table_of
from rolehost.deployment.describe import describe_value
from rolehost.deployment.files import (
    PLUGINS,
    Files,
    Leaf,
    ProblemList,
    Sources,
    Tree,
    from_environment,
    merge,
    plugin_list,
)
from rolehost.deployment.model import Deployment, Failure, HostSettings, Origin
from rolehost.deployment.references import Resolver, Unresolved, Untyped, contains
from rolehost.errors import ConfigurationError, Problem
from rolehost.redaction import hide
from rolehost.suggest import did_you_mean

HOST_SECTIONS: dict[str, Any] = {field.name: field.type for field in fields_of(HostSettings)}

#: The sections that consist of named tables: ``[actors."NAME"]``.
NAMED = frozenset(name for name, kind in HOST_SECTIONS.items() if table_of(kind))

#: The table with the effect of each plugin's failure, ``abort`` or ``degrade``.
ON_FAILURE = "on_failure"

#: Settings that are names. Their values are shown even if they come from a variable.
NAMES = frozenset({"deployment.name", "fleet.name", "fleet.machine"})

FAILURES = get_args(Failure)


def load(
    path: Path | None,
    *,
    plugins: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    sources: Sources | None = None,
) -> Deployment:
    """Read a deployment; without a path, only the overrides.

    ``plugins`` is the value of ``--plugins``; None keeps the list of the file. By default
    ``environ`` is the environment of the process, and ``sources`` reads from disk.

    Raises:
        ConfigurationError: with every problem in the files and in the host's own sections.
            The sections of plugins are checked when the deployment is composed.
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
    """Like :func:`load`, but return the problems too.

    For an invalid section of the host, the result has the default settings.
    """
    environ = os.environ if environ is None else environ
    sources = Sources() if sources is None else sources
    problems = ProblemList(f"deployment {path}" if path else "deployment (no file)")
    files = Files(sources, problems)
    tree: Tree = files.tree(path) if path else {}
    # These are the plugins of the files: if an override disables one, its section is still allowed.
    listed = _names(tree.get(PLUGINS))
    sections_known = (*HOST_SECTIONS, ON_FAILURE, *tree, *listed)
    merge(tree, from_environment(environ, sections_known, NAMED))
    if plugins is not None:
        tree[PLUGINS] = plugin_list(plugins, "--plugins")
    resolver = Resolver(environ, sources, problems)
    reader = _Reader(problems, resolver, files.tables)
    values = reader.branch(tree, "")
    names = reader.plugin_names(values.pop(PLUGINS, []), tree.get(PLUGINS))
    sections = reader.sections(values)
    on_failure = reader.on_failure(sections.pop(ON_FAILURE, {}))
    # This removes the host's sections; the sections of plugins remain.
    host = reader.host(sections, Path(path).parent if path else Path())
    deployment = Deployment(
        name=host.deployment.name or (Path(path).stem if path else "rolehost"),
        path=path,
        plugins=names,
        host=host,
        on_failure=on_failure,
        sections=sections,
        origins=reader.origins,
        listed=listed,
    )
    hide(problems.who, resolver.files, resolver.variables)
    return deployment, deployment.redact(problems)


def _names(node: Leaf | Tree | None) -> tuple[str, ...]:
    if isinstance(node, Leaf) and isinstance(node.value, list):
        return tuple(map(str, node.value))
    return ()


class _Reader:
    """Converts a tree into plain values, and keeps their origins."""

    def __init__(
        self, problems: ProblemList, resolver: Resolver, tables: Mapping[str, str]
    ) -> None:
        self.problems = problems
        self.resolver = resolver
        self.origins = {table: Origin(line) for table, line in tables.items()}

    def branch(self, tree: Tree, above: str) -> dict[str, Any]:
        """Return the values of a tree, references resolved."""
        values: dict[str, Any] = {}
        for key, node in tree.items():
            path = f"{above}{key}"
            if isinstance(node, Leaf):
                values[key] = self.leaf(node, path)
            else:
                values[key] = self.branch(node, f"{path}.")
        return values

    def leaf(self, leaf: Leaf, path: str) -> Any:
        """Return one value, references resolved, and record its origin."""
        # The resolver appends the texts of this value's references to both lists.
        files, variables = self.resolver.files, self.resolver.variables
        known_files, known_variables = len(files), len(variables)
        value = self.resolver.resolve(leaf.value, leaf.origin, leaf.folder)
        if path in NAMES:
            del variables[known_variables:]
        resolved = (*files[known_files:], *variables[known_variables:])
        self.origins[path] = Origin(leaf.origin, contains(value, Secret), resolved)
        if not leaf.from_toml and isinstance(value, str):
            # The type of the setting decides how the text is decoded.
            return Untyped(value)
        return value

    def plugin_names(self, value: Any, node: Leaf | Tree | None) -> tuple[str, ...]:
        """Return the enabled plugins; record the line of each plugin as its origin."""
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            if not contains(value, Unresolved):  # otherwise the resolver has reported it
                self.add("wrong-type.plugins", PLUGINS, got=describe_value(value))
            return ()
        names: list[str] = []
        elements = node.elements if isinstance(node, Leaf) else ()
        for name, line in zip(map(str, value), elements, strict=True):
            path = f"{PLUGINS}.{name}"
            if name in names:
                where = f"{self.origins[path].text}; {line}"
                self.problems.add("plugin-twice", where, name=name)
                continue
            self.origins[path] = Origin(line)
            if name in HOST_SECTIONS or name == ON_FAILURE:
                reserved = ", ".join(HOST_SECTIONS)
                self.add("reserved-name.plugin", path, name=name, reserved=reserved)
            else:
                names.append(name)
        return tuple(names)

    def sections(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tables; anything else at the top level is a problem."""
        tables = {name: value for name, value in values.items() if isinstance(value, dict)}
        for name in values.keys() - tables.keys():
            if name in HOST_SECTIONS or name == ON_FAILURE:
                got = describe_value(values[name])
                self.add("wrong-type.section", name, name=name, got=got)
            else:
                known = (PLUGINS, "include", ON_FAILURE, *HOST_SECTIONS)
                self.add("unknown-key.top", name, key=name, hint=did_you_mean(name, known))
        return tables

    def host(self, sections: dict[str, Any], folder: Path) -> HostSettings:
        """Remove the host's sections and decode them; an invalid section has its defaults."""
        decoded: dict[str, Any] = {}
        for name, kind in HOST_SECTIONS.items():
            settings, problems = decode_section(
                kind,
                sections.pop(name, {}),
                section=name,
                origins=self.origins,
                who=self.problems.who,
                folder=folder,
            )
            self.problems.extend(problems)
            if settings is not None:
                decoded[name] = settings
        return HostSettings(**decoded)

    def on_failure(self, values: Mapping[str, Any]) -> dict[str, Failure]:
        """Return plugin name → the effect of its failure."""
        known: dict[str, Failure] = {}
        for name, value in values.items():
            if value in FAILURES:
                known[name] = value
            else:
                self.add(
                    "wrong-value.on-failure",
                    f"{ON_FAILURE}.{name}",
                    name=name,
                    got=describe_value(value),
                    hint=did_you_mean(str(value), FAILURES),
                )
        return known

    def add(self, message: str, path: str, **values: Any) -> None:
        self.problems.add(message, location(path, self.origins), **values)
