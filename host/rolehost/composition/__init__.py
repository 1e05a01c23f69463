"""Composition: a deployment and its plugins become one checked, immutable object.

:func:`compose` raises with every mistake; :func:`examine` returns them, so that a check can
report the deployment's mistakes beside them. Both only import and declare: no I/O.
"""

from rolehost.composition.composing import compose, examine
from rolehost.composition.model import Composition, Owned, Plugin

__all__ = ["Composition", "Owned", "Plugin", "compose", "examine"]
