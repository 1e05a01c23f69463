"""Generate deployment files with chosen plugins; comments show the defaults of settings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
from rolehost.api.actors import Actor
from rolehost.api.contributions import Backend, Role, Route, Schedule
from rolehost.api.handlers import Handler
from rolehost.api.settings import Secret
from rolehost.composition import Probe, examine, probe
from rolehost.deployment import Sources, describe_type, read
from rolehost.discovery import installed
from rolehost.errors import Problem, RolehostError
from rolehost.storage import KINDS
from rolehost.suggest import did_you_mean, one_of

#: Contribution → the role that a deployment with such a contribution has.
_MAKES: dict[type[Any], Role] = {
    Route: "http",
    Actor: "worker",
    Handler: "consumer",
    Schedule: "scheduler",
}


class Unknown(RolehostError):
    """A plugin is not installed, or no installed plugin has contributions for a role."""


def deployment(name: str, plugins: Sequence[str], roles: Sequence[str]) -> str:
    """Return the text of a deployment file.

    Args:
        name: name of the deployment, for the first line.
        plugins: names of installed plugins; if empty, all that have one of the roles.
        roles: the roles that its instances run. The file also claims the plugins' other roles,
            so that other deployments of the same fleet can run them.

    Raises:
        Unknown: a plugin is not installed, no plugin has a role, or both arguments are empty.
    """
    empty, _ = read(None, plugins=())
    probes = {found.name: probe(empty, found) for found in installed()}
    for each in plugins:
        if each not in probes:
            hint = did_you_mean(each, probes) or f"installed: {one_of(probes)}"
            raise Unknown(f"no plugin named {each!r} is installed; {hint}")
    chosen = list(dict.fromkeys(plugins)) or _making(probes, roles)
    made = set[str]().union(*(_roles(probes[each]) for each in chosen))
    for role in roles:
        if role not in made:
            raise Unknown(
                f"none of {', '.join(chosen)} needs the role {role}; they need {one_of(made)}"
            )
    added = _offering(probes, chosen)
    storage = _storage([probes[each] for each in (*chosen, *added)])
    enabled = [probes[each] for each in (*added, *chosen)]
    return "".join(_lines(name, enabled, storage, sorted(made), sorted(set(roles))))


def check_text(file: Path, text: str) -> tuple[list[str], list[Problem]]:
    """Check the text of a deployment file like ``rolehost check``, before it is written.

    Args:
        file: the future path of the file.
        text: the text of the file.

    Returns:
        The settings without a value, each as ``[section] key``, and all other problems.
    """
    read_, found = read(file, sources=Sources({os.path.normpath(file): text}))
    _, problems = examine(read_)
    missing, others = [], []
    for problem in (*found, *problems):
        if problem.code == "missing-key":
            section, _, key = problem.where.rpartition(", ")[2].rpartition(".")
            missing.append(f"[{section}] {key}")
        else:
            others.append(problem)
    return missing, others


def _making(probes: dict[str, Probe], roles: Sequence[str]) -> list[str]:
    if not roles:
        raise Unknown(f"give --plugins or --role; installed: {one_of(probes)}")
    for role in roles:
        if not any(role in _roles(each) for each in probes.values()):
            raise Unknown(f"no installed plugin needs the role {role}; installed: {one_of(probes)}")
    return [name for name, each in probes.items() if _roles(each) & set(roles)]


def _roles(seen: Probe) -> set[str]:
    return {role for kind, role in _MAKES.items() if seen.contributions.of(kind)}


def _offering(probes: dict[str, Probe], chosen: Sequence[str]) -> list[str]:
    """Return plugins that offer the required storage kinds that no chosen plugin offers.

    A backend that keeps its data in another kind's backend does not count if a chosen plugin
    already offers that other kind.
    """
    infos = [probes[each].info for each in chosen]
    needed = {text.partition("[")[0] for info in infos if info for text in info.requires}
    roles = set().union(*(_roles(probes[each]) for each in chosen))
    needed |= {"database", "queue"} if roles & {"worker", "scheduler"} else set()
    needed |= {"database", "stream"} if "consumer" in roles else set()
    backends = {
        name: [owned.value for owned in seen.contributions.of(Backend)]
        for name, seen in probes.items()
    }
    present = {backend.kind for each in chosen for backend in backends[each]}
    offers = {
        name: {each.kind for each in found if each.stored_in not in present}
        for name, found in backends.items()
    }
    needed -= present
    added: list[str] = []
    while needed and any(needed & kinds for kinds in offers.values()):
        best = max(sorted(offers), key=lambda name: len(offers[name] & needed))
        added.append(best)
        needed -= offers[best]
    return added


def _storage(probes: Sequence[Probe]) -> dict[str, str]:
    """Return for each storage kind that several plugins offer the first suitable one.

    A backend that keeps its data in another kind's backend is suitable if the same plugin
    offers that other backend.
    """
    chosen: dict[str, tuple[str, str]] = {}
    several: dict[str, str] = {}
    for kind in KINDS:
        offers = [
            (seen.found.name, owned.value)
            for seen in probes
            for owned in seen.contributions.of(Backend)
            if owned.value.kind == kind
        ]
        fitting = [
            (plugin, backend)
            for plugin, backend in offers
            if backend.stored_in is None or chosen.get(backend.stored_in, ("",))[0] == plugin
        ]
        for plugin, backend in (fitting or offers)[:1]:
            chosen[kind] = (plugin, backend.name)
            if len(offers) > 1:
                several[kind] = backend.name
    return several


def _lines(
    name: str,
    probes: Sequence[Probe],
    storage: Mapping[str, str],
    made: Sequence[str],
    roles: Sequence[str],
) -> Iterator[str]:
    listed = ", ".join(json.dumps(seen.found.name) for seen in probes)
    yield f"# {name}: rolehost check {name}.toml, then rolehost run {name}.toml\n"
    yield f"plugins = [{listed}]\n"
    if roles:
        yield f"\n[deployment]\nroles = [{', '.join(map(json.dumps, made))}]\n"
    if roles and roles != made:
        rest = ", ".join(role for role in made if role not in roles)
        yield f"\n[fleet]\n# {rest}: for other deployments of the fleet to run\n"
        yield f"roles = [{', '.join(map(json.dumps, roles))}]\n"
    if storage:
        yield "\n[storage]\n"
        yield from (f"{kind} = {json.dumps(backend)}\n" for kind, backend in storage.items())
    for seen in probes:
        if seen.info is not None and seen.info.settings is not None:
            yield f"\n[{seen.found.name}]\n"
            yield from _settings(seen.info.settings)


def _settings(kind: type[Any]) -> Iterable[str]:
    for field in msgspec.structs.fields(kind):
        takes = describe_type(field.type)
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if Secret in (field.type, *get_args(field.type)):
            variable = field.encode_name.upper()
            needed = "required: a secret" if field.required else "secret"
            yield f'# {field.encode_name} = "${{{variable}}}"    # {needed}\n'
        elif default is msgspec.NODEFAULT:
            yield f"# {field.encode_name} =    # required: {takes}\n"
        elif default is None:
            yield f"# {field.encode_name} =    # {takes}; none by default\n"
        else:
            yield f"# {field.encode_name} = {_toml(default)}    # {takes}\n"


def _toml(value: Any) -> str:
    if isinstance(value, Path):
        return json.dumps(str(value))
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, msgspec.Struct):
        return _toml(msgspec.structs.asdict(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
