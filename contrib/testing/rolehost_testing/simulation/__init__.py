"""Deterministic simulation: run plugins in simulated time, with all choices made by a seed.

The seed chooses the order of requests, jobs, events, ticks, crashes, duplicates and delays.
Invariants are checked after every step. See ``docs/simulation.md``::

    @for_seeds(200)
    def test_no_order_is_charged_twice(seed):
        simulate([shop], seed=seed, actions=[place_order], invariants=[charged_once])
"""

from __future__ import annotations

from rolehost_testing.simulation.client import Answer, Client
from rolehost_testing.simulation.faults import NONE, Faults
from rolehost_testing.simulation.seeds import SimulationFailed, for_seeds, hold, simulate
from rolehost_testing.simulation.simulation import Invariant, Run, Simulation
from rolehost_testing.simulation.trace import Trace
from rolehost_testing.simulation.world import SimulatedWorld

__all__ = [
    "NONE",
    "Answer",
    "Client",
    "Faults",
    "Invariant",
    "Run",
    "SimulatedWorld",
    "Simulation",
    "SimulationFailed",
    "Trace",
    "for_seeds",
    "hold",
    "simulate",
]
