"""Differences between two versions of a fleet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rolehost.composition.manifest import Manifest, MigrationEntry

Sign = Literal["+", "-", "~"]


class Change(NamedTuple):
    """One difference.

    Attributes:
        sign: ``+`` is added, ``-`` is removed, ``~`` is changed.
        kind: ``deployment``, ``plugin``, ``actor``, ``topic``, ``group``, ``schedule``,
            ``route``, ``migration``, ``backend`` or ``settings``.
        name: name of the changed thing.
        where: the deployments, by name.
        detail: the change; empty if the sign says all.
    """

    sign: Sign
    kind: str
    name: str
    where: tuple[str, ...]
    detail: str = ""


class Sides:
    """Two versions of a fleet, by deployment.

    Args:
        old: manifests of the running version.
        new: manifests of the new version.
    """

    def __init__(self, old: Iterable[Manifest], new: Iterable[Manifest]) -> None:
        self.old = {manifest.deployment: manifest for manifest in old}
        self.new = {manifest.deployment: manifest for manifest in new}

    @property
    def touched(self) -> tuple[str, ...]:
        """Deployments that are started, replaced or stopped, sorted."""
        return tuple(
            name
            for name in sorted(self.old.keys() | self.new.keys())
            if not _same(self.old.get(name), self.new.get(name))
        )


def migrations(sides: Sides, phase: str) -> tuple[MigrationEntry, ...]:
    """Return the new migrations of a phase, by owner and number."""
    before = {each for manifest in sides.old.values() for each in manifest.migrations}
    after = {each for manifest in sides.new.values() for each in manifest.migrations}
    return tuple(sorted(each for each in after - before if each.phase == phase))


def compare(sides: Sides) -> tuple[Change, ...]:
    """List every difference, by kind and name."""
    found = [*_deployments(sides), *_plugins(sides), *_backends(sides), *_settings(sides)]
    for kind, entries, detail in _KINDS:
        found += _entries(sides, kind, entries, detail)
    return tuple(found)


def _same(one: Manifest | None, other: Manifest | None) -> bool:
    if one is None or other is None:
        return one is other
    # A process without HTTP does not know the routes, so they are compared if both are known.
    known = one.routes == other.routes or None in (one.routes, other.routes)
    return one.shared_hash == other.shared_hash and known and set(one.roles) == set(other.roles)


def _deployments(sides: Sides) -> Iterator[Change]:
    for name in sorted(sides.old.keys() | sides.new.keys()):
        before, after = sides.old.get(name), sides.new.get(name)
        if before is None:
            yield Change("+", "deployment", name, (name,))
        elif after is None:
            yield Change("-", "deployment", name, (name,))
        elif set(before.roles) != set(after.roles):
            words = f"roles {', '.join(before.roles)} → {', '.join(after.roles)}"
            yield Change("~", "deployment", name, (name,), words)


def _plugins(sides: Sides) -> Iterator[Change]:
    def of(manifests: Mapping[str, Manifest]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for name, manifest in manifests.items():
            found.setdefault("rolehost", {})[name] = manifest.version
            for plugin in manifest.plugins:
                found.setdefault(plugin.name, {})[name] = plugin.version
        return found

    before, after = of(sides.old), of(sides.new)
    for plugin in sorted(before.keys() | after.keys()):
        was, now = before.get(plugin, {}), after.get(plugin, {})
        come, gone = sorted(now.keys() - was.keys()), sorted(was.keys() - now.keys())
        if plugin != "rolehost":
            if come:
                yield Change("+", "plugin", plugin, tuple(come), now[come[0]])
            if gone:
                yield Change("-", "plugin", plugin, tuple(gone), was[gone[0]])
        moved: dict[str, list[str]] = {}
        for name in sorted(was.keys() & now.keys()):
            if was[name] != now[name]:
                moved.setdefault(f"{was[name]} → {now[name]}", []).append(name)
        for detail, names in moved.items():
            yield Change("~", "plugin", plugin, tuple(names), detail)


def _backends(sides: Sides) -> Iterator[Change]:
    changed: dict[tuple[str, str], list[str]] = {}
    for name in sorted(sides.old.keys() & sides.new.keys()):
        before, after = sides.old[name].backends, sides.new[name].backends
        for kind in sorted(before.keys() | after.keys()):
            if before.get(kind) != after.get(kind):
                words = f"{before.get(kind, 'none')} → {after.get(kind, 'none')}"
                changed.setdefault((kind, words), []).append(name)
    for (kind, words), names in changed.items():
        yield Change("~", "backend", kind, tuple(names), words)


def _settings(sides: Sides) -> Iterator[Change]:
    for name in sorted(sides.old.keys() & sides.new.keys()):
        before, after = sides.old[name].settings, sides.new[name].settings
        keys = sorted(
            key
            for key in before.keys() & after.keys()
            if before[key] != after[key] and key != "plugins"
        )
        if keys:
            yield Change("~", "settings", ", ".join(keys), (name,))


def _actors(manifest: Manifest) -> dict[str, Any]:
    return dict(manifest.actors_run)


def _actor(old: Any, new: Any) -> str:
    words = [
        f"{field} {getattr(old, field)} → {getattr(new, field)}"
        for field in ("queue", "durable")
        if getattr(old, field) != getattr(new, field)
    ]
    if old.arguments != new.arguments or old.types != new.types:
        words.append(f"({signature(old.types)}) → ({signature(new.types)})")
    return ", ".join(words)


def signature(types: Iterable[tuple[str, str]]) -> str:
    """Return arguments with their types: ``order: int, note: str``."""
    return ", ".join(f"{name}: {kind}" for name, kind in types)


def _topics(manifest: Manifest) -> dict[str, Any]:
    return {topic: manifest.payloads.get(topic) for topic in manifest.publishes}


def _groups(manifest: Manifest) -> dict[str, Any]:
    return {f"{topic}/{group}": each for (topic, group), each in manifest.handlers_run.items()}


def _schedules(manifest: Manifest) -> dict[str, Any]:
    return dict(manifest.schedules_run)


def _schedule(old: Any, new: Any) -> str:
    return ", ".join(
        f"{getattr(old, field)} → {getattr(new, field)}"
        for field in ("when", "actor")
        if getattr(old, field) != getattr(new, field)
    )


def _routes(manifest: Manifest) -> dict[str, Any]:
    return {each.path: each.methods for each in manifest.routes or ()}


def _methods(old: Any, new: Any) -> str:
    return f"{' '.join(old)} → {' '.join(new)}" if old != new else ""


def _of_migrations(manifest: Manifest) -> dict[str, Any]:
    return {each.label: each.phase for each in manifest.migrations}


def _payload(old: Any, new: Any) -> str:
    return "payload" if getattr(old, "payload", old) != getattr(new, "payload", new) else ""


_KINDS: Sequence[tuple[str, Callable[[Manifest], dict[str, Any]], Callable[[Any, Any], str]]] = (
    ("actor", _actors, _actor),
    ("topic", _topics, _payload),
    ("group", _groups, _payload),
    ("schedule", _schedules, _schedule),
    ("route", _routes, _methods),
    ("migration", _of_migrations, lambda old, new: f"{old} → {new}" if old != new else ""),
)


def _entries(
    sides: Sides,
    kind: str,
    entries: Callable[[Manifest], dict[str, Any]],
    detail: Callable[[Any, Any], str],
) -> Iterator[Change]:
    before, after = _gathered(sides.old, entries), _gathered(sides.new, entries)
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, {}), after.get(name, {})
        if not was or not now:
            where = tuple(sorted(now or was))
            words = str(next(iter(now.values()))) if kind == "migration" and now else ""
            yield Change("-" if was else "+", kind, name, where, words)
            continue
        words = detail(next(iter(was.values())), next(iter(now.values())))
        if words:
            yield Change("~", kind, name, tuple(sorted(now)), words)
        elif kind != "migration" and was.keys() != now.keys():
            moved = [f"+{each}" for each in sorted(now.keys() - was.keys())]
            moved += [f"-{each}" for each in sorted(was.keys() - now.keys())]
            yield Change("~", kind, name, tuple(sorted(now)), " ".join(moved))


def _gathered(
    manifests: Mapping[str, Manifest], entries: Callable[[Manifest], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for deployment, manifest in manifests.items():
        for name, entry in entries(manifest).items():
            found.setdefault(name, {})[deployment] = entry
    return found
