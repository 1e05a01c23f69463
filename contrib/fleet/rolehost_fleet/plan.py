"""The plan of a rollout: changes, ordered steps, and problems."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from rolehost.composition.manifest import Manifest
from rolehost.errors import Problem

from rolehost_fleet.changes import Change, Sides, compare, migrations
from rolehost_fleet.ordering import Edge, Node, drain_node, ordered, roll_node
from rolehost_fleet.queued import Unreadable
from rolehost_fleet.rollout import rules
from rolehost_fleet.rules import Rules
from rolehost_fleet.status import FleetStatus


class Step(msgspec.Struct, frozen=True):
    """One step.

    Attributes:
        kind: ``migrate``, ``start``, ``roll``, ``stop`` or ``wait``.
        what: the deployment, the phase of the migrations, or the backlog to wait for.
        text: the instruction to show.
        why: reasons for its position; empty if the position does not matter.
    """

    kind: str
    what: str
    text: str
    why: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """A rollout.

    Attributes:
        changes: the differences.
        steps: the steps, in order.
        errors: problems that forbid the rollout.
        warnings: risks.
    """

    changes: tuple[Change, ...]
    steps: tuple[Step, ...]
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data, for ``--json``."""
        return {
            "ok": not self.errors,
            "changes": [each._asdict() for each in self.changes],
            "steps": [msgspec.structs.asdict(each) for each in self.steps],
            "errors": [each.as_dict() for each in self.errors],
            "warnings": [each.as_dict() for each in self.warnings],
        }


def make(
    old: Iterable[Manifest],
    new: Iterable[Manifest],
    status: FleetStatus | None = None,
    unreadable: Iterable[Unreadable] = (),
    accept: Collection[str] = (),
) -> Plan:
    """Plan the rollout of a new version.

    Args:
        old: manifests of the running version.
        new: manifests of the new version.
        status: status of the fleet; None: unknown.
        unreadable: queued work that the new version cannot decode.
        accept: ``who`` of errors that become warnings, for example ``actor NAME``.
    """
    sides = Sides(old, new)
    found = rules(sides, status)
    for each in unreadable:
        _unreadable(found, each)
    nodes = [roll_node(name) for name in sides.touched]
    # Edges of deployments that do not change are ignored.
    nodes += [drain_node(what) for what in found.drains]
    order, cycle = ordered(
        nodes, found.edges, [roll_node(n) for n in sides.old if n not in sides.new]
    )
    if cycle:
        _report_cycle(found, cycle)
    accepted = [problem for problem in found.errors if problem.who in accept]
    return Plan(
        changes=compare(sides),
        steps=tuple(_steps(sides, order, found)),
        errors=_deduplicated(problem for problem in found.errors if problem not in accepted),
        warnings=_deduplicated([*accepted, *found.warnings]),
    )


def _steps(sides: Sides, order: Sequence[Node], found: Rules) -> Iterable[Step]:
    yield from _migration_steps(sides, "pre", "before anything else", "--phase pre")
    done = set(order)
    for node in order:
        later = (edge for edge in found.edges if edge.first == node and edge.then in done)
        why = tuple(dict.fromkeys(map(_reason, later)))
        if node.kind == "drain":
            left = found.drains[node.name]
            now = "not known how many" if left is None else f"{left} now"
            yield Step("wait", node.name, f"wait until no {node.name} are left ({now})", why)
        elif node.name not in sides.old:
            yield Step("start", node.name, f"start {node.name}", why)
        elif node.name not in sides.new:
            yield Step("stop", node.name, f"stop {node.name}", why)
        else:
            yield Step("roll", node.name, f"roll out {node.name}", why)
    yield from _migration_steps(sides, "post", "when no old process runs any more", "--phase post")


def _migration_steps(sides: Sides, phase: str, when: str, option: str) -> Iterable[Step]:
    found = migrations(sides, phase)
    if found:
        labels = ", ".join(each.label for each in found)
        text = f"rolehost migrate up -d FILE {option}, with the new version, {when}: {labels}"
        yield Step("migrate", phase, text)


def _reason(edge: Edge) -> str:
    return f"before {edge.then.name if edge.then.kind == 'roll' else 'the wait'}: {edge.why}"


def _unreadable(found: Rules, each: Unreadable) -> None:
    kind = "group" if "/" in each.name else "actor"
    found.error(
        "queued-unreadable",
        f"{kind} {each.name}",
        f"the new version cannot decode {each.failed} of {each.tried} that are queued for"
        f" {each.name}",
        where=each.example,
        expected="arguments that fit",
        got=each.why,
        fix="let the old version process them first, or let the new version accept both forms",
    )


def _report_cycle(found: Rules, cycle: tuple[Edge, ...]) -> None:
    names = sorted({node.name for edge in cycle for node in (edge.first, edge.then)})
    found.error(
        "no-order",
        f"deployments {', '.join(names)}",
        "no order of these rollouts satisfies all constraints",
        expected="changes that have an order",
        got="; ".join(
            f"{edge.first.name} before {edge.then.name}, for {edge.why}" for edge in cycle
        ),
        fix="make two rollouts: first the additions, then the removals",
    )


def _deduplicated(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(dict.fromkeys(problems))
