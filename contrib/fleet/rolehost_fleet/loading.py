"""Load a :class:`Fleet` from deployment files, and report all errors together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rolehost.composition import examine_all
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
        environ: environment variables of all deployments; None: those of this process.
        extra: plugin objects by name, in addition to the installed plugins; for tests.

    Raises:
        ConfigurationError: with every error of every deployment.
            :func:`rolehost_fleet.checking.check` checks how the deployments fit together.
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
    """Read and compose deployments; return the fleet, or None and every error.

    The parameters are the same as for :func:`load`.
    """
    composed, errors = examine_all(paths, environ=environ, extra=extra)
    if errors:
        return None, errors
    members = (
        FleetMember(path=path, deployment=each.deployment, composition=each)
        for path, each in composed
    )
    return Fleet(members=tuple(members)), ()
