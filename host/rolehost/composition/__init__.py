"""Composition: a deployment and its plugins become one checked, immutable object.

:func:`compose` raises an error with every problem; :func:`examine` returns the problems. Both
import the plugins, and connect to nothing.
"""

from rolehost.composition.access import access_of
from rolehost.composition.composing import Probe, compose, examine, examine_all, probe
from rolehost.composition.model import Composition, Owned, Plugin
from rolehost.composition.problems import in_order
from rolehost.composition.routes import responders

__all__ = [
    "Composition",
    "Owned",
    "Plugin",
    "Probe",
    "access_of",
    "compose",
    "examine",
    "examine_all",
    "in_order",
    "probe",
    "responders",
]
