"""Storage kinds that a composition needs, and the chosen backend of each kind."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rolehost.api.actors import Actor
from rolehost.api.contributions import Backend, Migrations, Route, Schedule
from rolehost.api.handlers import Handler
from rolehost.composition.model import Composition, Contributions, Owned, Plugin
from rolehost.composition.problems import Problems
from rolehost.storage import CAPABILITIES, KINDS, Kind
from rolehost.suggest import did_you_mean, one_of

#: Storage kind → first-party plugins that offer it, for hints.
OFFERS: dict[Kind, tuple[str, ...]] = {
    "database": ("embedded", "postgres"),
    "cache": ("embedded", "redis", "memcached"),
    "queue": ("embedded", "redis", "postgres"),
    "stream": ("embedded", "kafka"),
}

_REQUIREMENT = re.compile(r"([A-Za-z0-9_-]+)(?:\[([^\[\]]*)\])?")


@dataclass(frozen=True, slots=True)
class Need:
    """A contribution, or an item of ``requires``, that needs a storage kind.

    ``why`` describes it in messages. The backend must have ``capabilities``.
    """

    kind: Kind
    plugin: str
    why: str
    capabilities: frozenset[str] = frozenset()


def choose(
    plugins: Sequence[Plugin],
    contributions: Contributions,
    problems: Problems,
    known: Collection[str],
) -> dict[Kind, Owned[Backend]]:
    """Return the backend of each needed kind, in the order of ``KINDS``.

    ``known`` are the names of all installed plugins, for hints.
    """
    offered = contributions.of(Backend)
    for owned in offered:
        _check_declared_capabilities(owned, problems)
    _check_requirements(plugins, problems)
    needed = list(needs(plugins, contributions))
    chosen: dict[Kind, Owned[Backend]] = {}
    for kind in KINDS:
        named: str | None = getattr(problems.deployment.host.storage, kind)
        reasons = [need for need in needed if need.kind == kind]
        if not reasons and named is None:
            continue
        candidates = [owned for owned in offered if owned.value.kind == kind]
        backend = _select_backend(named, candidates)
        if backend is None:
            _report_missing_backend(kind, named, candidates, reasons, problems, known)
        else:
            _check_usable(backend, reasons, problems)
            chosen[kind] = backend
    for backend in chosen.values():
        _check_stored_in(backend, chosen, problems)
    return chosen


def needs(plugins: Sequence[Plugin], contributions: Contributions) -> Iterator[Need]:
    """Yield every need of the plugins and their contributions."""

    def each(plugin: str, why: str, *kinds: Kind) -> Iterator[Need]:
        return (Need(kind, plugin, why) for kind in kinds)

    for plugin in plugins:
        for text in plugin.info.requires:
            need, _ = _requirement(plugin, text)
            if need is not None:
                yield need
        for name in plugin.info.enqueues:
            yield from each(plugin.name, f"enqueues {name}", "database", "queue")
        for topic in plugin.info.publishes:
            yield from each(plugin.name, f"publishes to {topic}", "database", "stream")
    for owned in contributions.of(Actor):
        why = f"actor {owned.value.name}"
        if owned.value.durable:
            yield from each(owned.plugin, why, "queue", "database")
        else:
            yield Need("queue", owned.plugin, why, frozenset({"ephemeral"}))
    for owned in contributions.of(Handler):
        why = f"handler {owned.value.name}"
        yield Need("database", owned.plugin, why)
        yield Need("stream", owned.plugin, why, frozenset({"consumer-groups"}))
    for owned in contributions.of(Schedule):
        yield from each(owned.plugin, f"schedule {owned.value.name}", "database", "queue")
    for owned in contributions.of(Migrations):
        yield Need("database", owned.plugin, f"migrations {owned.value.package}")
    for owned in contributions.of(Route):
        if owned.value.idempotent:
            yield Need("database", owned.plugin, f"idempotent route {owned.value.path}")


def needing(composition: Composition, kinds: Collection[Kind]) -> list[str]:
    """Return the names of the plugins that need storage of these kinds."""
    contributions = Contributions()
    given: tuple[Owned[Any], ...] = (
        *composition.actors.values(),
        *composition.handlers,
        *composition.schedules,
        *composition.migrations,
        *composition.routes,
    )
    for owned in given:
        contributions.add(owned)
    found = needs(composition.plugins, contributions)
    return list(dict.fromkeys(need.plugin for need in found if need.kind in kinds))


def _requirement(plugin: Plugin, text: str) -> tuple[Need | None, list[tuple[str, str]]]:
    """Parse an item of ``requires``: return the need, and errors as (expected syntax, fix)."""
    match = _REQUIREMENT.fullmatch(text.strip())
    if match is None:
        return None, [("kind or kind[capability,…]", f"write {KINDS[0]}[…]")]
    name, inside = match.groups()
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind is None:
        fix = did_you_mean(name, KINDS) or "name one of the four kinds"
        return None, [(f"one of {', '.join(KINDS)}", fix)]
    asked = {word.strip() for word in (inside or "").split(",") if word.strip()}
    known = CAPABILITIES[kind]
    expected = f"a capability of {kind}: {one_of(known)}"
    wrong = [
        (expected, did_you_mean(word, known) or "name one of these capabilities")
        for word in sorted(asked - known.keys())
    ]
    return Need(kind, plugin.name, f"requires {text}", frozenset(asked & known.keys())), wrong


def _check_requirements(plugins: Sequence[Plugin], problems: Problems) -> None:
    for plugin in plugins:
        where = f"requires of plugin {plugin.name}"
        for text in plugin.info.requires:
            _, wrong = _requirement(plugin, text)
            for expected, fix in wrong:
                values = {"text": text, "expected": expected, "fix": fix}
                problems.add("invalid-requirement", where, failed=[plugin.name], **values)


def _select_backend(
    named: str | None, candidates: Sequence[Owned[Backend]]
) -> Owned[Backend] | None:
    if named is not None:
        return next((owned for owned in candidates if owned.value.name == named), None)
    names = {owned.value.name for owned in candidates}
    return candidates[0] if len(names) == 1 else None


def _report_missing_backend(
    kind: Kind,
    named: str | None,
    candidates: Sequence[Owned[Backend]],
    reasons: Sequence[Need],
    problems: Problems,
    known: Collection[str],
) -> None:
    names = sorted({owned.value.name for owned in candidates})
    plugins = sorted({need.plugin for need in reasons})
    where = "; ".join(map(problems.enabled_at, plugins))
    why = ", ".join(dict.fromkeys(f"{need.plugin} ({need.why})" for need in reasons[:5]))
    if names and named is None:
        problems.add(
            "ambiguous-backend",
            "; ".join(owned.location for owned in candidates),
            kind=kind,
            count=len(names),
            first=names[0],
            offers=", ".join(f"{owned.value.name} of {owned.plugin}" for owned in candidates),
            names=", ".join(names),
        )
    elif problems.degraded and plugins:
        values = {"kind": kind, "why": why, "degraded": ", ".join(problems.degraded)}
        problems.add("degraded-storage", where, failed=plugins, **values)
    elif problems.unknown_contributions:
        pass  # a plugin whose contributions are unknown may offer it
    elif named is None:
        problems.add("missing-storage", where, kind=kind, why=why, advice=_advice(kind, known))
    elif names or plugins:  # otherwise a shared file names the backend for another deployment
        problems.add(
            "unknown-backend",
            problems.at(f"storage.{kind}"),
            hint=did_you_mean(named, names),
            kind=kind,
            name=named,
            names=one_of(names),
            advice=_advice(kind, known),
        )


def _advice(kind: Kind, known: Collection[str]) -> str:
    here = [name for name in OFFERS[kind] if name in known]
    if here:
        return f"add {' or '.join(here)} to plugins"
    return "install and enable " + " or ".join(f"rolehost-{name}" for name in OFFERS[kind])


def _check_declared_capabilities(owned: Owned[Backend], problems: Problems) -> None:
    backend = owned.value
    known = CAPABILITIES.get(backend.kind, {})
    for word in sorted(backend.capabilities - known.keys()):
        values = {"kind": backend.kind, "name": backend.name, "capability": word}
        hint = did_you_mean(word, known)
        problems.about(owned, "unknown-capability", hint=hint, known=one_of(known), **values)


def _check_usable(owned: Owned[Backend], reasons: Sequence[Need], problems: Problems) -> None:
    """Report a backend that cannot be used here, or lacks a capability that is needed."""
    backend = owned.value
    names = {"kind": backend.kind, "name": backend.name}
    if backend.unavailable:
        problems.about(owned, "backend-unavailable", reason=backend.unavailable, **names)
    for need in reasons:
        lacking = sorted(need.capabilities - backend.capabilities)
        if lacking:
            problems.add(
                "missing-capability",
                f"{need.why} of plugin {need.plugin}",
                who=problems.named([need.plugin]),
                lacking=", ".join(lacking),
                wanted=",".join(sorted(need.capabilities)),
                has=",".join(sorted(backend.capabilities)),
                plugin=owned.plugin,
                **names,
            )


def _check_stored_in(
    owned: Owned[Backend], chosen: Mapping[Kind, Owned[Backend]], problems: Problems
) -> None:
    """Report a backend that is chosen without the backend that holds its data (``stored_in``)."""
    backend = owned.value
    if backend.stored_in is None or problems.unknown_contributions:
        return
    around = chosen.get(backend.stored_in)
    if around is not None and around.plugin == owned.plugin:
        return
    named = getattr(problems.deployment.host.storage, backend.kind) is not None
    others = ", ".join(name for name in OFFERS[backend.kind] if name != owned.plugin)
    problems.add(
        "backend-apart",
        problems.at(f"storage.{backend.kind}") if named else problems.enabled_at(owned.plugin),
        who=problems.named([owned.plugin]),
        kind=backend.kind,
        name=backend.name,
        stored_in=backend.stored_in,
        plugin=owned.plugin,
        got=f"{around.value.name} of {around.plugin}" if around else f"no {backend.stored_in}",
        others=others,
    )
