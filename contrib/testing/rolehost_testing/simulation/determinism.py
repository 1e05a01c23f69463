"""What code of plugins asks of the machine – time, chance, sleep – while a simulation runs."""

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

from rolehost_testing.simulation.clock import SimulatedClock


@contextmanager
def determined(
    clock: SimulatedClock,
    chance: random.Random,
    sleep: Callable[[float], None],
    told: Callable[[MutableMapping[str, Any]], None],
) -> Iterator[None]:
    """Let modules of the standard library give simulated time and seeded chance.

    What is bound elsewhere already (``from time import time``) stays as it is, and so does
    ``datetime.now``, which nobody can replace: code that asks ``services.clock`` and
    ``services.random`` needs none of this.

    Args:
        clock: gives ``time.time`` and its like.
        chance: gives ``os.urandom``, and with it ``uuid.uuid4`` and ``secrets``.
        sleep: is ``time.sleep``.
        told: is given each line of structlog; nothing is written anywhere.
    """

    def catch(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> Any:
        told(fields)
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
    """Return what stands for which function of which module."""
    return [
        (time, "time", lambda: clock.milliseconds / 1000),
        (time, "time_ns", lambda: clock.milliseconds * 1_000_000),
        (time, "monotonic", lambda: clock.milliseconds / 1000),
        (time, "monotonic_ns", lambda: clock.milliseconds * 1_000_000),
        (time, "sleep", sleep),
        (os, "urandom", chance.randbytes),
        (random, "_urandom", chance.randbytes),
    ]
