"""The manifest of a composition: plain data to store and compare, readable without its plugins.

It has everything that other deployments and versions rely on, and a digest of each setting, never
a value. A secret has no digest, because a reader of the stored manifest could test guesses.
"""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import msgspec

import rolehost
from rolehost.api.actors import Actor
from rolehost.api.contributions import Route, Schedule
from rolehost.api.handlers import Handler
from rolehost.composition.model import Composition, Owned
from rolehost.composition.routes import responders
from rolehost.composition.schemas import Schema, schema_of
from rolehost.composition.settings import Effective, effective
from rolehost.composition.topology import actor_of, when
from rolehost.delivery.arguments import resolve, structure
from rolehost.deployment import HostSettings, redacted
from rolehost.schema import HOST_SET
from rolehost.schema.files import outline

#: Version of the layout. A host reads only this version.
FORMAT = 1


class PluginEntry(msgspec.Struct, frozen=True):
    """One enabled plugin, with the actors that it enqueues and the topics that it publishes to."""

    name: str
    distribution: str
    version: str
    enqueues: tuple[str, ...] = ()
    publishes: tuple[str, ...] = ()


class ActorEntry(msgspec.Struct, frozen=True):
    """One actor: the schema of its arguments as one object, and their types in Python syntax."""

    name: str
    queue: str
    durable: bool
    plugin: str
    arguments: Schema
    types: tuple[tuple[str, str], ...]


class HandlerEntry(msgspec.Struct, frozen=True):
    """One handler; ``payload`` is None for undecoded bytes."""

    name: str
    topic: str
    group: str
    plugin: str
    payload: Schema | None


class ScheduleEntry(msgspec.Struct, frozen=True):
    """One schedule; ``when`` is its cron expression or the seconds between ticks."""

    name: str
    actor: str
    when: str
    plugin: str


class RouteEntry(msgspec.Struct, frozen=True):
    """One route; ``methods`` are sorted."""

    path: str
    methods: tuple[str, ...]
    plugin: str


class MigrationEntry(msgspec.Struct, frozen=True, order=True):
    """One migration file; ``phase`` is ``pre`` or ``post``."""

    owner: str
    number: int
    name: str
    phase: str

    @property
    def label(self) -> str:
        """Owner, number and name: ``rolehost/0001_delivery``."""
        return f"{self.owner}/{self.number:04d}_{self.name}"


class Manifest(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The manifest of one deployment.

    Attributes:
        version: version of the host.
        roles: the roles that its instances run; empty if ``[fleet] replicas`` is 0. The manifest
            of a composition for one role may lack other roles.
        plugins: in the order of their dependencies.
        payloads: topic → schema of its payloads, if a plugin declares their type.
        backends: storage kind → name of the backend.
        external: topics and actors that other systems use, as ``topic:NAME`` and ``actor:NAME``.
        processes: role → number of its processes, in all instances.
        queues: the queues that its workers claim from; None: all queues of its actors.
        routes: None if there are no routes, or if they are unknown, for example in a worker.
        migrations: of all dialects.
        settings: key → digest of its value; empty if the value is or contains a secret.
    """

    format: int = FORMAT
    deployment: str
    version: str
    roles: tuple[str, ...]
    plugins: tuple[PluginEntry, ...]
    degraded: tuple[str, ...] = ()
    payloads: dict[str, Schema]
    backends: dict[str, str]
    external: tuple[str, ...]
    processes: dict[str, int]
    queues: tuple[str, ...] | None
    actors: tuple[ActorEntry, ...]
    handlers: tuple[HandlerEntry, ...]
    schedules: tuple[ScheduleEntry, ...]
    routes: tuple[RouteEntry, ...] | None
    migrations: tuple[MigrationEntry, ...]
    settings: dict[str, str]

    @cached_property
    def hash(self) -> str:
        """Hash of the whole manifest, twelve hex digits."""
        return _digest(self)

    @cached_property
    def shared_hash(self) -> str:
        """:attr:`hash` without routes and roles: the same for every process of a deployment."""
        return _digest(msgspec.structs.replace(self, roles=(), routes=None))

    @cached_property
    def config(self) -> str:
        """Hash of the settings, twelve hex digits."""
        return _digest(self.settings)

    @property
    def enqueues(self) -> frozenset[str]:
        """Names of the actors that its plugins and its schedules enqueue."""
        ticked = {each.actor for each in self.schedules_run.values()}
        return frozenset(name for plugin in self.plugins for name in plugin.enqueues) | ticked

    @property
    def publishes(self) -> frozenset[str]:
        """Topics that its plugins publish to."""
        return frozenset(topic for plugin in self.plugins for topic in plugin.publishes)

    @property
    def actors_run(self) -> dict[str, ActorEntry]:
        """The actors whose jobs its workers run, by name; empty without the role ``worker``."""
        mine = [each for each in self.actors if self.queues is None or each.queue in self.queues]
        return {each.name: each for each in mine} if "worker" in self.roles else {}

    @property
    def handlers_run(self) -> dict[tuple[str, str], HandlerEntry]:
        """The handlers that its consumers run, by topic and group; empty without that role."""
        handlers = self.handlers if "consumer" in self.roles else ()
        return {(each.topic, each.group): each for each in handlers}

    @property
    def schedules_run(self) -> dict[str, ScheduleEntry]:
        """The schedules that its scheduler runs, by name; empty without that role."""
        schedules = self.schedules if "scheduler" in self.roles else ()
        return {each.name: each for each in schedules}

    @property
    def relays(self) -> bool:
        """Whether its processes relay events from the outbox to the stream."""
        return "stream" in self.backends and bool(self.publishes)


def describe(composition: Composition) -> Manifest:
    """Return the manifest of a composition.

    The manifests of a composition for one role and of the whole deployment have the same
    :attr:`~Manifest.shared_hash`. Only the manifests of the role ``http`` and of the whole
    deployment have routes.
    """
    host = composition.deployment.host
    return Manifest(
        deployment=composition.deployment.name,
        version=rolehost.__version__,
        roles=composition.roles_run if host.fleet.replicas else (),
        plugins=tuple(
            PluginEntry(
                plugin.name,
                plugin.distribution,
                plugin.version,
                tuple(sorted(plugin.info.enqueues)),
                tuple(sorted(plugin.info.publishes)),
            )
            for plugin in composition.plugins
        ),
        degraded=tuple(sorted(each.name for each in composition.degraded)),
        payloads={
            topic: schema_of(kind)
            for plugin in composition.plugins
            for topic, kind in sorted(plugin.info.payloads.items())
            if kind is not bytes
        },
        backends={kind: owned.value.name for kind, owned in sorted(composition.backends.items())},
        external=tuple(sorted(host.fleet.external)),
        processes=_processes(host),
        queues=None if host.worker.queues is None else tuple(sorted(host.worker.queues)),
        actors=tuple(_actor(owned) for _, owned in sorted(composition.actors.items())),
        handlers=_sorted(_handler(owned) for owned in composition.handlers),
        schedules=_sorted(_schedule(owned) for owned in composition.schedules),
        routes=_sorted(_route(owned) for owned in composition.routes) or None,
        migrations=_migrations(composition),
        settings=dict(sorted(_settings(composition))),
    )


def encode(manifest: Manifest) -> bytes:
    """Return a manifest as JSON, the same bytes for the same manifest."""
    return msgspec.json.encode(manifest, order="deterministic")


def decode(data: bytes | str) -> Manifest:
    """Decode a manifest; raise ValueError if the data is invalid or has another layout."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a manifest: {error}") from None
    if manifest.format != FORMAT:
        raise ValueError(f"a manifest of layout {manifest.format}; this host reads {FORMAT}")
    return manifest


def _actor(owned: Owned[Actor]) -> ActorEntry:
    actor = owned.value
    hints = resolve(actor)
    return ActorEntry(
        actor.name,
        actor.queue,
        actor.durable,
        owned.plugin,
        schema_of(structure(actor)),
        tuple((name, inspect.formatannotation(kind)) for name, kind in hints.items()),
    )


def _handler(owned: Owned[Handler]) -> HandlerEntry:
    each = owned.value
    payload = None if each.payload is bytes else schema_of(each.payload)
    return HandlerEntry(each.name, each.topic, each.group, owned.plugin, payload)


def _schedule(owned: Owned[Schedule]) -> ScheduleEntry:
    each = owned.value
    return ScheduleEntry(each.name, actor_of(each), when(each), owned.plugin)


def _route(owned: Owned[Route]) -> RouteEntry:
    return RouteEntry(owned.value.path, tuple(sorted(responders(owned.value))), owned.plugin)


def _processes(host: HostSettings) -> dict[str, int]:
    each = {
        "http": host.http.processes,
        "worker": host.worker.processes,
        "consumer": host.consumer.processes,
        "scheduler": 1,
    }
    return {role: count * host.fleet.replicas for role, count in each.items()}


def _migrations(composition: Composition) -> tuple[MigrationEntry, ...]:
    if "database" not in composition.backends:
        return ()
    found = outline([HOST_SET, *composition.schema_sets])
    return tuple(sorted(MigrationEntry(*each) for each in found))


def _settings(composition: Composition) -> Iterable[tuple[str, str]]:
    path = composition.deployment.path
    folder = path.parent.absolute() if path else Path.cwd()
    for setting in effective(composition):
        yield setting.key, _setting(setting, composition, folder)


def _setting(setting: Effective, composition: Composition, folder: Path) -> str:
    """Return the digest of a setting; it does not depend on the deployment's folder."""
    section, _, key = setting.key.partition(".")
    value = setting.value
    plain = redacted(value)
    if setting.origin.secret or "********" in str(plain):
        return ""
    if isinstance(value, PurePath):
        written = composition.deployment.sections.get(section, {}).get(key)
        absolute = written is not None and PurePath(str(written)).is_absolute()
        plain = str(value) if absolute else os.path.relpath(value, folder)
    return _digest(plain)


def _sorted(entries: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(entries, key=msgspec.structs.astuple))


def _digest(value: Any) -> str:
    data = msgspec.json.encode(value, order="deterministic")
    return hashlib.sha256(data).hexdigest()[:12]
