"""Named points at which tests make a process fail.

The host calls :func:`reach` where a crash would be worst, for example between a commit and its
wake-up. A test arms points with :func:`arm`; the environment variable ``ROLEHOST_FAIL`` arms them
in a process, except in production. An unarmed point costs one attribute access.

``ROLEHOST_FAIL`` is a list of ``POINT:ACTION`` or ``POINT:ACTION@PROBABILITY``::

    ROLEHOST_FAIL="outbox.after_commit:kill@0.01,work.before_commit:raise"

Sources: FreeBSD's failpoints (``fail(9)``), and TiKV's ``fail`` crate, which reads them from the
environment.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple

from rolehost.errors import RolehostError
from rolehost.suggest import did_you_mean

#: Point → the state of the work at this point, in the order in which work reaches them.
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "work.before_commit": "a unit of work has written everything and is not committed",
        "work.after_commit": "a unit of work is committed; no wake-up was sent",
        "outbox.after_commit": "a unit of work with events is committed; no relay was woken",
        "requests.after_commit": "a request with an idempotency key is committed, but not answered",
        "ledger.after_claim": "jobs are claimed, and the claim is committed; none has begun",
        "runner.before_actor": "an attempt begins: arguments are decoded, the actor not called",
        "runner.after_actor": "an actor has returned; its unit of work is still open",
        "ledger.before_complete": "an attempt has ended; its end is not written",
        "outbox.before_relay": "events were read from the outbox; the stream has none of them",
        "relay.after_send": "the stream has the events; they are still in the outbox",
        "inbox.after_mark": "an event is marked as handled, in a transaction that is open",
        "consumer.before_offsets": "events are handled; their offsets are not committed",
        "consumer.after_offsets": "offsets are committed",
        "lease.after_acquire": "a lease was taken or renewed; its holder has not been notified yet",
        "ticks.after_enqueue": "a tick and its job are written, in a transaction that is open",
    }
)

VARIABLE = "ROLEHOST_FAIL"

#: The function of an armed point; called with the point's name.
Action = Callable[[str], object]


class Injected(RolehostError):
    """The error that the action ``raise`` raises."""


class Crash(BaseException):
    """Simulates the death of a process within the process of a test.

    Code that catches every exception must let it pass and write nothing. The database rolls back
    open transactions, as after a lost connection.
    """


class UnknownFailpoint(ValueError):
    """No point has this name, or no action has this form."""


class Armed(NamedTuple):
    """One action that is armed at a point; there may be several."""

    action: Action
    probability: float


#: The armed actions, by point. Replaced as a whole, never changed.
armed: Mapping[str, tuple[Armed, ...]] = {}


def reach(name: str) -> None:
    """Run the actions that are armed at a point, which is one of :data:`NAMES`."""
    if armed:
        for action, probability in armed.get(name, ()):
            # Not the host's random number generator: failpoints must not change its values.
            if probability >= 1 or random.random() < probability:
                action(name)


def arm(name: str, action: Action | str, *, probability: float = 1.0) -> Callable[[], None]:
    """Run an action whenever any thread of this process reaches a point.

    ``action`` is a function, called with the name; or ``kill`` (SIGKILL to this process),
    ``raise`` (:class:`Injected`) or ``delay=SECONDS``. The probability is above 0, up to 1. Return
    a function that disarms this action; a second call does nothing. Raise
    :class:`UnknownFailpoint` if there is no such point or action.
    """
    global armed
    if name not in NAMES:
        raise UnknownFailpoint(_unknown("failpoint", name, NAMES))
    if not 0 < probability <= 1:
        raise UnknownFailpoint(f"the probability must be above 0 and at most 1, not {probability}")
    mine = Armed(_action(action) if isinstance(action, str) else action, probability)
    armed = {**armed, name: (*armed.get(name, ()), mine)}

    def remove() -> None:
        global armed
        left = {**armed, name: tuple(each for each in armed.get(name, ()) if each is not mine)}
        armed = {point: actions for point, actions in left.items() if actions}

    return remove


def disarm() -> None:
    """Disarm every point."""
    global armed
    armed = {}


def arm_from(text: str) -> None:
    """Arm the entries of ``ROLEHOST_FAIL``.

    If an entry is wrong, raise UnknownFailpoint and arm no point.
    """
    global armed
    before = armed
    try:
        for entry in filter(None, (each.strip() for each in text.split(","))):
            _arm_entry(entry)
    except UnknownFailpoint:
        armed = before
        raise


def _arm_entry(entry: str) -> None:
    name, separator, rest = entry.partition(":")
    action, at, chance = rest.partition("@")
    if not separator:
        raise UnknownFailpoint(f"{entry!r} is not POINT:ACTION or POINT:ACTION@PROBABILITY")
    arm(name, action, probability=_number("probability", chance) if at else 1.0)


def _action(text: str) -> Action:
    if text in _ACTIONS:
        return _ACTIONS[text]
    word, _, seconds = text.partition("=")
    if word != "delay":
        known = [*_ACTIONS, "delay=SECONDS"]
        raise UnknownFailpoint(_unknown("failpoint action", text, known))
    length = _number("delay=SECONDS, for example delay=0.5", seconds)
    return lambda _name: time.sleep(length)


def _number(what: str, text: str) -> float:
    """Return a number of at least 0; UnknownFailpoint if the text is not one."""
    with suppress(ValueError):
        number = float(text)
        if number >= 0:  # False for NaN
            return number
    raise UnknownFailpoint(f"expected a number as {what}, got {text!r}")


def _kill(_name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    # Wait here until the signal is delivered.
    time.sleep(60)


def _raise(name: str) -> None:
    raise Injected(f"failpoint {name}")


_ACTIONS: Mapping[str, Action] = {"kill": _kill, "raise": _raise}


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    hint = did_you_mean(name, known) or f"expected one of {', '.join(known)}"
    return f"there is no {what} {name!r}; {hint}"
