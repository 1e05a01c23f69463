"""Actors with the limits and options of the deployment, or else of the plugins."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rolehost.api.actors import Actor
from rolehost.api.limits import NO_LIMITS, Limits
from rolehost.composition.model import Contributions, Owned, Plugin
from rolehost.composition.problems import Problems
from rolehost.deployment import HostSettings
from rolehost.errors import SettingLocation
from rolehost.messages import problem
from rolehost.suggest import did_you_mean, one_of

_FIELDS = ("concurrency", "rate", "burst")


def deployed(host: HostSettings) -> frozenset[str]:
    """Return the names of the limits that a deployment sets.

    ``queue:NAME``, ``actor:NAME``, and ``partition:NAME`` for each partition of the actor NAME.
    """
    actors = host.actors.items()
    return frozenset(
        [
            *(f"queue:{name}" for name, table in host.queues.items() if _given(table)),
            *(f"actor:{name}" for name, table in actors if _given(table)),
            *(f"partition:{name}" for name, table in actors if _given(table, "partition_")),
        ]
    )


def apply(
    plugins: Sequence[Plugin], contributions: Contributions, problems: Problems
) -> dict[str, Owned[Actor]]:
    """Return the actors by name, with the limits that are in force; report wrong limits."""
    actors = {owned.value.name: owned for owned in contributions.of(Actor)}
    elsewhere = {name for plugin in plugins for name in plugin.info.enqueues}
    host = problems.deployment.host
    queues = _queue_limits([each for each in actors.values() if each.value.durable], problems)
    _check_names("actors", host.actors, actors.keys() | elsewhere, problems)
    _check_names("queues", host.queues, queues.keys(), problems)
    for name in host.queues.keys() & queues.keys():
        queues[name] = _merged(queues[name], host.queues[name], "queues", name, problems)
    return {name: _limited(owned, queues, problems) for name, owned in actors.items()}


def _given(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Return the fields of ``Limits`` that a table sets."""
    given = {field: getattr(settings, prefix + field) for field in _FIELDS}
    return {field: value for field, value in given.items() if value is not None}


def _queue_limits(actors: Sequence[Owned[Actor]], problems: Problems) -> dict[str, Limits]:
    """Return the limits that actors declare for their queue, by queue; report contradictions."""
    declared: dict[str, dict[Limits, Owned[Actor]]] = {}
    for owned in actors:
        limits = declared.setdefault(owned.value.queue, {})
        if owned.value.queue_limits:
            limits.setdefault(owned.value.queue_limits, owned)
    for name, limits in declared.items():
        if len(limits) > 1:
            shown = "; ".join(f"{each.value.name}: {one}" for one, each in limits.items())
            problems.about(limits.values(), "queue-limits", name=name, limits=shown)
    return {name: next(iter(limits), NO_LIMITS) for name, limits in declared.items()}


def _check_names(
    section: str, tables: Mapping[str, Any], known: Collection[str], problems: Problems
) -> None:
    for name in tables:
        if name not in known and not problems.may_lack_contributions:
            values = {"name": name, "known": one_of(known), "hint": did_you_mean(name, known)}
            where = _at(f"{section}.{name}", problems)
            if section == "actors":
                problems.add("unknown-actor.limits", where, **values)
            else:
                problems.add("unknown-queue.limits", where, **values)


def _at(table: str, problems: Problems) -> SettingLocation:
    """Return the location of a table, or of the override that sets its first key."""
    origins = problems.deployment.origins
    first = next((key for key in origins if f"{key}.".startswith(f"{table}.")), table)
    return SettingLocation(problems.at(first), [table])


def _limited(owned: Owned[Actor], queues: Mapping[str, Limits], problems: Problems) -> Owned[Actor]:
    actor = owned.value
    settings = problems.deployment.host.actors.get(actor.name)
    changes: dict[str, Any] = {}
    if actor.durable and actor.queue_limits != queues[actor.queue]:
        changes["queue_limits"] = queues[actor.queue]
    if settings is not None and _allowed(actor, settings, problems):
        for field, prefix in (("limits", ""), ("partition_limits", "partition_")):
            plain = getattr(actor, field)
            limits = _merged(plain, settings, "actors", actor.name, problems, prefix)
            if limits != plain:
                changes[field] = limits
        if settings.grouped is not None:
            changes["grouped"] = settings.grouped
    if not changes:
        return owned
    return dataclasses.replace(owned, value=dataclasses.replace(actor, **changes))


def _allowed(actor: Actor, settings: Any, problems: Problems) -> bool:
    """Return whether the actor may have the limits of a table; report what is wrong."""
    where = _at(f"actors.{actor.name}", problems)
    partition = [f"partition_{field}" for field in _given(settings, "partition_")]
    given = [*_given(settings), *partition, *(["grouped"] if settings.grouped else [])]
    if given and not actor.durable:
        problems.add("ephemeral-limits", where, name=actor.name, keys=", ".join(given))
        return False
    if partition and actor.partition is None:
        who, keys = problems.deployment_name, ", ".join(partition)
        values = {"who": who, "where": where, "name": actor.name, "keys": keys}
        problems.warnings.append(problem("limits-without-partitions", **values))
    return True


def _merged(
    limits: Limits, settings: Any, section: str, name: str, problems: Problems, prefix: str = ""
) -> Limits:
    try:
        return dataclasses.replace(limits, **_given(settings, prefix))
    except (TypeError, ValueError) as error:
        subject = f"{'each partition of ' if prefix else ''}{section[:-1]} {name}"
        where = _at(f"{section}.{name}", problems)
        problems.add("invalid-limits", where, subject=subject, error=error)
        return limits
