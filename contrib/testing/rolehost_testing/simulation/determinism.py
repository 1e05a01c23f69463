"""Replace time, randomness and sleep of the standard library during a simulation."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import structlog

from rolehost_testing.simulation.clock import START, SimulatedClock


@contextmanager
def determined(
    clock: SimulatedClock,
    chance: random.Random,
    sleep: Callable[[float], None],
    on_log: Callable[[MutableMapping[str, Any]], None],
) -> Iterator[None]:
    """Patch modules of the standard library to use simulated time and seeded randomness.

    Names that were imported directly (``from time import time``) are not patched. ``datetime.now``
    cannot be patched either. Code that uses ``services.clock`` and ``services.random`` does not
    depend on these patches.

    Args:
        clock: source of ``time.time`` and similar functions.
        chance: source of ``os.urandom``, and so of ``uuid.uuid4`` and ``secrets``.
        sleep: replaces ``time.sleep``.
        on_log: called with each structlog event; the event is not written anywhere else.
    """

    def catch(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> Any:
        on_log(fields)
        raise structlog.DropEvent

    state = random.getstate()
    before = structlog.get_config() if structlog.is_configured() else None
    disabled = logging.root.manager.disable
    with ExitStack() as patches:
        for module, name, replacement in _replacements(clock, chance, sleep):
            patches.enter_context(mock.patch.object(module, name, replacement))
        random.seed(chance.getrandbits(64))
        structlog.configure(
            processors=[catch],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            cache_logger_on_first_use=False,
        )
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)
            if before is None:
                structlog.reset_defaults()
            else:
                structlog.configure(**before)
            random.setstate(state)


def _replacements(
    clock: SimulatedClock, chance: random.Random, sleep: Callable[[float], None]
) -> list[tuple[Any, str, Callable[..., Any]]]:
    """Return the replacement functions by module and name."""
    return [
        (time, "time", lambda: clock.milliseconds / 1000),
        (time, "time_ns", lambda: clock.milliseconds * 1_000_000),
        (time, "monotonic", lambda: (START + clock.elapsed) / 1000),
        (time, "monotonic_ns", lambda: (START + clock.elapsed) * 1_000_000),
        (time, "sleep", sleep),
        (os, "urandom", chance.randbytes),
        (random, "_urandom", chance.randbytes),
    ]
