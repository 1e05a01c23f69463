"""Named points at which a process can be made to fail, for tests of what must survive.

The engine calls :func:`reach` where a crash would be worst: between a commit and its wake-up,
between sending and forgetting, between claiming and running. Nothing is armed unless a test arms
it (:func:`arm`) or the environment of a process does (``ROLEHOST_FAIL``), and then only outside
of production. Unarmed, a point costs one look at one attribute of this module.

``ROLEHOST_FAIL`` is a list of ``POINT:ACTION`` or ``POINT:ACTION@PROBABILITY``::

    ROLEHOST_FAIL="outbox.after_commit:kill@0.01,work.before_commit:raise"

The idea of failpoints is FreeBSD's (``fail(9)``); that of naming them in the environment is
the ``fail`` crate's of TiKV.
"""

from __future__ import annotations

import difflib
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from rolehost.errors import RolehostError

#: Every point, in the order in which work meets it, and what has happened when it is reached.
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "work.before_commit": "a unit of work has written everything and is not committed",
        "work.after_commit": "a unit of work is committed, and nobody has been told",
        "outbox.after_commit": "a unit of work with events is committed, no relay was woken",
        "requests.after_commit": "a request with an idempotency key is committed, not answered",
        "ledger.after_claim": "jobs are claimed, and the claim is committed; none has begun",
        "runner.before_actor": "an attempt begins: arguments are decoded, the actor not called",
        "runner.after_actor": "an actor has returned; its unit of work is still open",
        "ledger.before_complete": "an attempt is over, and its end is not written",
        "outbox.before_relay": "events were read from the outbox; the stream has none of them",
        "relay.after_send": "the stream has the events; they are still in the outbox",
        "inbox.after_mark": "an event is marked as handled, in a transaction that is open",
        "consumer.before_offsets": "events are handled; their offsets are not committed",
        "consumer.after_offsets": "offsets are committed",
        "lease.after_acquire": "a lease was taken or prolonged, and its holder does not know",
        "ticks.after_enqueue": "a tick and its job are written, in a transaction that is open",
    }
)

#: Variable of the environment that arms points in a process.
VARIABLE = "ROLEHOST_FAIL"

#: What a point does when it is reached; called with the point's name.
Action = Callable[[str], object]


class Injected(RolehostError):
    """What the action ``raise`` raises: an error like any other."""


class Crash(BaseException):
    """Stands for the death of a process within a process that goes on, as a test does.

    Whoever catches everything lets it pass; nothing is written on its way but what a database
    does when a connection is lost: open transactions are rolled back.
    """


class UnknownFailpoint(ValueError):
    """No point has this name, or no action has this form; says what there is."""


class Armed(NamedTuple):
    """What waits at one point; several may."""

    action: Action
    probability: float


#: What is armed, by point; empty but in tests. Replaced as a whole, never changed.
armed: Mapping[str, tuple[Armed, ...]] = {}


def reach(name: str) -> None:
    """Do what is armed at a point; nothing, and that at once, when nothing is armed anywhere.

    Args:
        name: one of :data:`NAMES`.
    """
    if armed:
        for action, probability in armed.get(name, ()):
            # Failures are the one thing whose chance no test replays through the engine's
            # random source: that would make every run with failpoints another run.
            if probability >= 1 or random.random() < probability:
                action(name)


def arm(name: str, action: Action | str, *, probability: float = 1.0) -> Callable[[], None]:
    """Let something happen whenever a point is reached in this process, by any thread.

    Args:
        name: one of :data:`NAMES`.
        action: a function, called with the name; or ``kill`` (SIGKILL to this process),
            ``raise`` (:class:`Injected`) or ``delay=SECONDS``.
        probability: above 0, up to 1: with what chance it happens at each time.

    Returns:
        A function that disarms what was armed here; calling it twice does no harm.

    Raises:
        UnknownFailpoint: there is no such point or action.
    """
    global armed
    if name not in NAMES:
        raise UnknownFailpoint(_unknown("failpoint", name, NAMES))
    if not 0 < probability <= 1:
        raise UnknownFailpoint(f"probability {probability} is not above 0 and up to 1")
    mine = Armed(_action(action) if isinstance(action, str) else action, probability)
    armed = {**armed, name: (*armed.get(name, ()), mine)}
    return partial(_remove, name, mine)


def disarm() -> None:
    """Disarm every point."""
    global armed
    armed = {}


def parse(text: str) -> list[tuple[str, str, float]]:
    """Return point, action and probability of each entry of a value of ``ROLEHOST_FAIL``.

    Raises:
        UnknownFailpoint: an entry has another form, or names what there is not.
    """
    entries = []
    for entry in filter(None, (each.strip() for each in text.split(","))):
        name, separator, rest = entry.partition(":")
        action, at, chance = rest.partition("@")
        if not separator:
            raise UnknownFailpoint(f"{entry!r} is not POINT:ACTION or POINT:ACTION@PROBABILITY")
        if name not in NAMES:
            raise UnknownFailpoint(_unknown("failpoint", name, NAMES))
        _action(action)
        try:
            probability = float(chance) if at else 1.0
        except ValueError:
            probability = 0.0
        if not 0 < probability <= 1:
            raise UnknownFailpoint(f"{entry!r}: the probability is above 0 and up to 1")
        entries.append((name, action, probability))
    return entries


def arm_from(text: str) -> None:
    """Arm what a value of ``ROLEHOST_FAIL`` says; all of it or, when it is wrong, nothing.

    Raises:
        UnknownFailpoint: see :func:`parse`.
    """
    for name, action, probability in parse(text):
        arm(name, action, probability=probability)


def _remove(name: str, mine: Armed) -> None:
    global armed
    left = tuple(each for each in armed.get(name, ()) if each is not mine)
    others = {each: waiting for each, waiting in armed.items() if each != name}
    armed = {**others, name: left} if left else others


def _action(text: str) -> Action:
    """Return what a word does."""
    if text in _ACTIONS:
        return _ACTIONS[text]
    word, _, seconds = text.partition("=")
    if word == "delay":
        try:
            length = float(seconds)
        except ValueError:
            length = -1.0
        if length >= 0:
            return lambda _name: time.sleep(length)
        raise UnknownFailpoint(f"{text!r}: a delay is delay=SECONDS, such as delay=0.5")
    raise UnknownFailpoint(_unknown("action of a failpoint", text, [*_ACTIONS, "delay=SECONDS"]))


def _kill(_name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    # The signal may take a moment to be delivered, in which nothing more must happen.
    time.sleep(60)


def _raise(name: str) -> None:
    raise Injected(f"failpoint {name}")


_ACTIONS: Mapping[str, Action] = {"kill": _kill, "raise": _raise}


def _unknown(what: str, name: str, known: Mapping[str, str] | list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(known)}"
    return f"{name!r} is no {what}; {hint}"
