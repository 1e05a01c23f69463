"""Composition: a deployment and its plugins become one checked, immutable object.

:func:`compose` raises with every mistake; :func:`examine` returns them, so that a check can
report the deployment's mistakes beside them. Both only import and declare: no I/O.
"""

from rolehost.composition.access import access_of
from rolehost.composition.composing import compose, examine
from rolehost.composition.model import Composition, Owned, Plugin
from rolehost.composition.probing import Probe, probe
from rolehost.composition.report import in_order
from rolehost.composition.routing import responders

__all__ = [
    "Composition",
    "Owned",
    "Plugin",
    "Probe",
    "access_of",
    "compose",
    "examine",
    "in_order",
    "probe",
    "responders",
]
