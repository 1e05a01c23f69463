"""The engine: everything the delivery contract needs, put together for one process."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
import structlog

from rolehost.api.contributions import Actor
from rolehost.api.observe import Recorder
from rolehost.api.services import Clock
from rolehost.delivery import arguments
from rolehost.delivery.guard import guard_of
from rolehost.delivery.ledger import Ledger
from rolehost.delivery.policy import DeliverySettings
from rolehost.delivery.scopes import Joined
from rolehost.errors import UndeclaredError, UnknownActor
from rolehost.storage import Database

log = structlog.get_logger(__name__)


#: Milliseconds for which it is believed where jobs of another deployment's actor go.
BELIEVED = 60_000


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """What the composition allows.

    Attributes:
        actors: the durable actors of this deployment, by name.
        enqueues: names of actors that enabled plugins declare they enqueue.
        publishes: topics they declare they publish to.
        strict: refuse the undeclared instead of counting it.
    """

    actors: Mapping[str, Actor]
    enqueues: frozenset[str]
    publishes: frozenset[str]
    strict: bool


class Target:
    """Where a job goes: what the unit of work must know of an actor."""

    __slots__ = ("encode", "name", "priority", "queue")

    def __init__(
        self, name: str, queue: str, priority: int, encode: Callable[[Mapping[str, Any]], bytes]
    ) -> None:
        self.name = name
        self.queue = queue
        self.priority = priority
        self.encode = encode


class Engine:
    """Shared by everything in a process that delivers; thread-safe.

    Args:
        database: the service database.
        wake: sends wake-ups by name after a commit; may lose them.
        clock: the time.
        random: the random source; only its thread-safe ``random()``-based methods are used.
        source: CloudEvents ``source`` of events that have none.
        declared: what may be enqueued and published.
        policy: the contract's numbers.
        recorder: told of finished work.
        elsewhere: given the database and the name of an actor of another deployment returns
            where its jobs go; None: that is not known.
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
        elsewhere: Callable[[Database, str], Target | None] = lambda _database, _name: None,
    ) -> None:
        self.database = database
        self.guard = guard_of(database)
        #: Seconds for which a unit of work goes on asking for a write lock that others hold;
        #: 0 takes the backend's own time limit. A command has more patience than a request.
        self.patience = 0.0
        self.wake = wake
        self.clock = clock
        self.random = random
        self.source = source
        self.declared = declared
        self.policy = policy
        self.recorder = recorder
        self.ledger = Ledger(database)
        self.signatures = {
            name: arguments.Signature(actor) for name, actor in declared.actors.items()
        }
        self._elsewhere = elsewhere
        self._targets: dict[str, Target] = {}
        # Of other deployments, each with the time until which it is believed, milliseconds.
        self._distant: dict[str, tuple[Target, int]] = {}
        self._warned: set[tuple[str, str]] = set()

    def unit_of_work(self, *, single: bool = False) -> Joined:
        """Return a context manager that joins the current scope's unit of work or opens one.

        Args:
            single: it is for one call of the unit of work; see :class:`Joined`.
        """
        return Joined(self, single=single)

    def target(self, actor: Actor | str) -> Target:
        """Return where jobs of an actor go.

        Raises:
            UndeclaredError: nothing declares that it enqueues this actor, and the deployment
                is strict.
            UnknownActor: the name says nothing here, or the actor is ephemeral.
        """
        name = actor if isinstance(actor, str) else actor.name
        target = self._targets.get(name)
        if target is None:
            if isinstance(actor, str) and name not in self.declared.actors:
                return self._distant_target(name)
            target = self._targets[name] = self._resolve(name, actor)
        return target

    def _distant_target(self, name: str) -> Target:
        """Return where jobs of an actor go of which only the name is known here."""
        now = self.clock.now()
        known = self._distant.get(name)
        if known is not None and now < known[1]:
            return known[0]
        if name not in self.declared.enqueues:
            self._undeclared("actor", name, "enqueues")
        target = self._elsewhere(self.database, name)
        if target is None:
            raise UnknownActor(
                f"actor {name!r} is not of this deployment, and no deployment that has run on this"
                " database works it; start that one first, or enqueue the Actor itself"
            )
        self._distant[name] = (target, now + BELIEVED)
        return target

    def _resolve(self, name: str, actor: Actor | str) -> Target:
        if name not in self.declared.enqueues:
            self._undeclared("actor", name, "enqueues")
        known = self.declared.actors[name] if isinstance(actor, str) else actor
        known = self.declared.actors.get(name, known)  # its queue may be another here
        if not known.durable:
            raise UnknownActor(f"actor {name!r} is ephemeral; use services.send()")
        signature = self.signatures.get(name) or arguments.Signature(known)
        return Target(name, known.queue, known.priority, signature.encode)

    def check_topic(self, topic: str) -> None:
        """Count, or refuse, a publication to a topic that no plugin declares.

        Raises:
            UndeclaredError: the deployment is strict.
        """
        if topic not in self.declared.publishes:
            self._undeclared("topic", topic, "publishes")

    def _undeclared(self, kind: str, name: str, field: str) -> None:
        if self.declared.strict:
            raise UndeclaredError(
                f"{kind} {name!r} is in no enabled plugin's PluginInfo.{field}; add it there"
            )
        self.recorder.undeclared(kind, name)
        if (kind, name) not in self._warned:
            self._warned.add((kind, name))
            log.warning("undeclared", kind=kind, name=name, add_to=f"PluginInfo.{field}")
