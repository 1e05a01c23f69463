"""Several deployments, each composed, with the problems of all of them at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rolehost.composition.composing import examine
from rolehost.composition.model import Composition
from rolehost.composition.problems import in_order
from rolehost.deployment import read
from rolehost.errors import Problem


def examine_all(
    paths: Sequence[Path],
    *,
    environ: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> tuple[list[tuple[Path, Composition]], tuple[Problem, ...]]:
    """Compose deployments; return the compositions, and the problems of the others.

    A problem in a file that several deployments include is reported once, for all of them.
    ``environ`` is by default the environment of the process; ``extra`` is as for :func:`compose`.
    """
    composed: list[tuple[Path, Composition]] = []
    all_problems: list[tuple[Path, Problem]] = []
    for path in paths:
        deployment, found = read(path, environ=environ)
        composition, problems = examine(deployment, extra=extra)
        all_problems += [(path, problem) for problem in (*found, *problems)]
        if composition is not None:
            composed.append((path, composition))
    return composed, _merged(all_problems)


def _merged(found: Sequence[tuple[Path, Problem]]) -> tuple[Problem, ...]:
    groups: dict[tuple[str, ...], tuple[Problem, list[str]]] = {}
    for path, problem in found:
        # The ``who`` of a problem in an included file differs between the deployments.
        whose = problem.who.replace(f"deployment {path}", "deployment")
        key = (whose, *list(problem.as_dict().values())[2:], problem.code)
        _, paths = groups.setdefault(key, (problem, []))
        if str(path) not in paths:
            paths.append(str(path))
    return in_order(
        dataclasses.replace(problem, who=_who(key[0], paths))
        for key, (problem, paths) in groups.items()
    )


def _who(whose: str, paths: Sequence[str]) -> str:
    deployments = f"deployment{'s' if len(paths) > 1 else ''} {', '.join(paths)}"
    return deployments if whose == "deployment" else f"{whose} in {deployments}"
