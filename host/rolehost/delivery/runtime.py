"""Objects that all delivery code of a process shares: database, clock, policy, job targets."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import structlog

from rolehost.api.actors import Actor
from rolehost.api.delivery import DeliverySettings
from rolehost.api.executions import JobMiddleware
from rolehost.api.observe import Recorder
from rolehost.api.services import Clock
from rolehost.delivery.arguments import Signature
from rolehost.delivery.guarded import guard_of
from rolehost.delivery.ledger import Ledger
from rolehost.delivery.limits import LimitTable, declared_partition
from rolehost.errors import PayloadError, UndeclaredError, UnknownActor
from rolehost.storage import Database

log = structlog.get_logger(__name__)

#: Milliseconds for which the target of another deployment's actor is cached.
_CACHED = 60_000


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """The actors and topics that the composition declares.

    ``actors`` are the durable ones of this deployment. Enabled plugins declare ``enqueues`` (names
    of actors) and ``publishes`` (topics). Other actors and topics are counted, or refused if
    ``strict``. ``versions``: actor → the distribution that contributes it, with its version.
    """

    actors: Mapping[str, Actor]
    enqueues: frozenset[str]
    publishes: frozenset[str]
    strict: bool
    versions: Mapping[str, str] = {}


class Target(NamedTuple):
    """Where the jobs of an actor go, and how their arguments are encoded."""

    name: str
    queue: str
    priority: int
    encode: Callable[[Mapping[str, Any]], bytes]
    partition: Callable[[Mapping[str, Any]], str | None] = lambda _arguments: None


class DeliveryRuntime:
    """The collaborators of all delivery code in one process; thread-safe.

    ``wake`` sends wake-ups by name after a commit; they may be lost. Only thread-safe methods of
    ``random`` are used. ``source`` is the default source of events.
    ``find_foreign`` returns the target of another deployment's actor, or None if it is unknown.
    """

    def __init__(
        self,
        *,
        database: Database,
        wake: Callable[[Collection[str]], None],
        clock: Clock,
        random: random.Random,
        source: str,
        declared: Declared,
        policy: DeliverySettings,
        recorder: Recorder,
        middleware: Sequence[JobMiddleware] = (),
        find_foreign: Callable[[Database, str], Target | None] = lambda _database, _name: None,
    ) -> None:
        self.database = database
        self.guard = guard_of(database)
        #: Seconds for which a unit of work retries to get the write lock. The default, 0, is one
        #: try with the backend's time limit; commands wait longer than requests.
        self.busy_timeout = 0.0
        self.wake = wake
        self.clock = clock
        self.random = random
        self.source = source
        self.declared = declared
        self.policy = policy
        self.recorder = recorder
        #: Around the attempts of jobs and events.
        self.middleware = middleware
        self.ledger = Ledger(database)
        self.limits = LimitTable(declared.actors)
        self.signatures = {name: Signature(actor) for name, actor in declared.actors.items()}
        self._find_foreign = find_foreign
        self._targets: dict[str, Target] = {}
        # Targets in other deployments, with the time until which they are cached, milliseconds.
        self._foreign: dict[str, tuple[Target, int]] = {}
        self._warned: set[tuple[str, str]] = set()

    def target(self, actor: Actor | str) -> Target:
        """Return where the jobs of an actor go.

        Raises UndeclaredError if the deployment is strict and no plugin declares that it enqueues
        the actor; UnknownActor if no deployment has a durable actor of this name.
        """
        name = actor if isinstance(actor, str) else actor.name
        target = self._targets.get(name)
        if target is not None:
            return target
        if isinstance(actor, str):
            known = self.declared.actors.get(name)
            if known is None:
                return self._foreign_target(name)
        else:
            # If this deployment has the actor too, its queue here may differ.
            known = self.declared.actors.get(name, actor)
        self._check_declared("actor", name, "enqueues", self.declared.enqueues)
        if not known.durable:
            raise UnknownActor(f"actor {name!r} is ephemeral; use services.send()")
        signature = self.signatures.get(name) or Signature(known)
        target = self._targets[name] = Target(
            name, known.queue, known.priority, signature.encode, partial(declared_partition, known)
        )
        return target

    def partition_of(self, actor: str, arguments: bytes) -> str | None:
        """Return the partition that an actor of this deployment declares for stored arguments."""
        known = self.declared.actors[actor]
        if known.partition is None:
            return None
        try:
            return declared_partition(known, self.signatures[actor].decode(arguments))
        except PayloadError:  # the attempt will fail with the same error
            return None

    def _foreign_target(self, name: str) -> Target:
        """Return where jobs go if only the actor's name is known in this deployment."""
        now = self.clock.now()
        known = self._foreign.get(name)
        if known is not None and now < known[1]:
            return known[0]
        self._check_declared("actor", name, "enqueues", self.declared.enqueues)
        target = self._find_foreign(self.database, name)
        if target is None:
            raise UnknownActor(
                f"actor {name!r} is not in this deployment, and no deployment that has run on this"
                " database has it; start its deployment first, or enqueue the Actor object"
            )
        self._foreign[name] = (target, now + _CACHED)
        return target

    def check_topic(self, topic: str) -> None:
        """Count a publication to an undeclared topic; raise UndeclaredError if ``strict``."""
        self._check_declared("topic", topic, "publishes", self.declared.publishes)

    def _check_declared(self, kind: str, name: str, field: str, declared: frozenset[str]) -> None:
        if name in declared:
            return
        if self.declared.strict:
            raise UndeclaredError(
                f"{kind} {name!r} is in no enabled plugin's PluginInfo.{field}; add it there"
            )
        self.recorder.undeclared(kind, name)
        if (kind, name) not in self._warned:
            self._warned.add((kind, name))
            log.warning("undeclared", kind=kind, name=name, add_to=f"PluginInfo.{field}")
