"""From deployment files to a :class:`Fleet`, with every mistake of all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rolehost.composition.several import examine_all
from rolehost.errors import ConfigurationError, Problem

from rolehost_fleet.model import Fleet, FleetMember


def load(
    paths: Sequence[Path],
    *,
    environ: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Fleet:
    """Read and compose deployments.

    Args:
        paths: their files.
        environ: environment variables of all of them; None takes the process's own.
        extra: plugin objects by name, besides the installed ones; for tests.

    Raises:
        ConfigurationError: with every mistake of every deployment, each naming its own. How
            the deployments fit together is judged by :func:`rolehost_fleet.check.check`.
    """
    fleet, problems = examine(paths, environ=environ, extra=extra)
    if fleet is None:
        raise ConfigurationError(problems)
    return fleet


def examine(
    paths: Sequence[Path],
    *,
    environ: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> tuple[Fleet | None, tuple[Problem, ...]]:
    """Read and compose deployments; return the fleet, or None and every mistake.

    Parameters as of :func:`load`.
    """
    composed, mistakes = examine_all(paths, environ=environ, extra=extra)
    if mistakes:
        return None, mistakes
    members = (
        FleetMember(path=path, deployment=each.deployment, composition=each)
        for path, each in composed
    )
    return Fleet(members=tuple(members)), ()
