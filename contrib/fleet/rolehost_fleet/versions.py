"""Compare installed versions with the manifests of other images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import rolehost
from rolehost.composition.manifest import Manifest, MigrationEntry, describe

from rolehost_fleet.findings import Notes
from rolehost_fleet.model import Fleet


def check(fleet: Fleet, manifests: Sequence[Manifest], notes: Notes) -> None:
    """Report different versions, and migrations that only one side has.

    Args:
        fleet: deployments with the distributions that are installed here.
        manifests: manifests from another machine or image.
        notes: collects the problems.
    """
    here = _here(fleet)
    different: dict[tuple[str, str, str], list[str]] = {}
    for manifest in manifests:
        for name, version in _versions(manifest):
            if name in here and here[name] != version:
                different.setdefault((name, here[name], version), []).append(manifest.deployment)
    for (name, ours, theirs), deployments in different.items():
        notes.error(
            "version-differs",
            fleet.members,
            (f"manifest of {deployment}" for deployment in deployments),
            f"{name} has another version in the other image: its jobs, events and tables may"
            " differ",
            expected=f"{name} {ours}, as it is installed here",
            got=f"{name} {theirs}",
            fix="build both from the same requirements; to roll a new version out, compare them"
            " first: rolehost fleet plan",
        )
    _migrations(fleet, manifests, notes)


def _here(fleet: Fleet) -> dict[str, str]:
    """Return the versions of the host and of the distributions of the fleet's plugins."""
    versions = {"rolehost": rolehost.__version__}
    for member in fleet.members:
        for plugin in member.composition.plugins:
            versions[plugin.distribution] = plugin.version
    return versions


def _versions(manifest: Manifest) -> Iterator[tuple[str, str]]:
    found = {"rolehost": manifest.version}
    found.update((plugin.distribution, plugin.version) for plugin in manifest.plugins)
    yield from found.items()


def _migrations(fleet: Fleet, manifests: Sequence[Manifest], notes: Notes) -> None:
    mine = _by_owner(describe(member.composition) for member in fleet.members)
    theirs = _by_owner(manifests)
    for owner in sorted(mine.keys() & theirs.keys()):
        if mine[owner] == theirs[owner]:
            continue
        more = [entry.label for entry in sorted(mine[owner] - theirs[owner])]
        less = [entry.label for entry in sorted(theirs[owner] - mine[owner])]
        notes.error(
            "migrations-differ",
            (m for m in fleet.members if any(o == owner for o, _ in m.composition.schema_sets)),
            (f"manifest of {manifest.deployment}" for manifest in manifests),
            f"{owner} has different migrations here and in the other image",
            expected=f"the same migrations of {owner} in the whole fleet",
            got="; ".join(
                filter(
                    None,
                    (
                        f"only here {', '.join(more)}" if more else "",
                        f"only there {', '.join(less)}" if less else "",
                    ),
                )
            ),
            fix=f"install the same version of the distribution with the migrations of {owner}",
        )


def _by_owner(manifests: Iterable[Manifest]) -> dict[str, set[MigrationEntry]]:
    found: dict[str, set[MigrationEntry]] = {}
    for manifest in manifests:
        for entry in manifest.migrations:
            found.setdefault(entry.owner, set()).add(entry)
    return found
