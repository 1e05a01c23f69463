"""Overrides from the environment and the command line, put over what the files say.

``ROLEHOST__SECTION__KEY=value`` sets one key; a ``-`` of a section's name is written ``_``, and
further double underscores go into nested tables. ``ROLEHOST__PLUGINS=a,b`` replaces the enabled
plugins, and so does ``--plugins a,b``, which wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rolehost.deployment.files import Leaf, Tree, merge

PREFIX = "ROLEHOST__"
PLUGINS = "plugins"


def from_environment(environ: Mapping[str, str], sections: Iterable[str]) -> Tree:
    """Return the overrides of the environment as a tree.

    Args:
        environ: the environment variables.
        sections: names of sections that are known; decides between ``-`` and ``_``.
    """
    known = {_folded(name): name for name in sections}
    tree: Tree = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX):
            continue
        words = [word.lower() for word in variable.removeprefix(PREFIX).split("__") if word]
        if not words:
            continue
        leaf = Leaf(environ[variable], f"environment {variable}", Path(), typed=False)
        if words == [PLUGINS]:
            tree[PLUGINS] = _plugins(environ[variable].split(","), leaf.origin)
            continue
        if len(words) > 1:
            words[0] = known.get(_folded(words[0]), words[0].replace("_", "-"))
        branch: Tree = {words[-1]: leaf}
        for word in reversed(words[:-1]):
            branch = {word: branch}
        merge(tree, branch)
    return tree


def from_command_line(plugins: Sequence[str]) -> Tree:
    """Return ``--plugins`` as a tree."""
    return {PLUGINS: _plugins(plugins, "--plugins")}


def _plugins(names: Sequence[str], origin: str) -> Leaf:
    cleaned = [name.strip() for name in names if name.strip()]
    return Leaf(cleaned, origin, Path(), (origin,) * len(cleaned))


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")
