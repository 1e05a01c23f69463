"""The order of a rollout: a topological sort that reports a cycle."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple


class Node(NamedTuple):
    """One step of a rollout.

    Attributes:
        kind: ``roll``: a deployment is replaced; ``drain``: wait until a backlog is empty.
        name: the deployment, or the backlog.
    """

    kind: str
    name: str


class Edge(NamedTuple):
    """A node that must come before another, and why."""

    first: Node
    then: Node
    why: str


def roll_node(deployment: str) -> Node:
    """Return the node for the rollout of a deployment."""
    return Node("roll", deployment)


def drain_node(what: str) -> Node:
    """Return the node for the wait until a backlog is empty."""
    return Node("drain", what)


def ordered(
    nodes: Iterable[Node], edges: Iterable[Edge], last: Collection[Node] = ()
) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    """Sort nodes topologically, otherwise by name.

    Args:
        nodes: the nodes.
        edges: constraints; edges to other nodes are ignored.
        last: nodes that come as late as the edges allow.

    Returns:
        The order, and the edges of a cycle or an empty tuple. If there is a cycle, the order
        breaks one of its edges.
    """
    left = set(nodes)
    open_edges = {edge for edge in edges if edge.first in left and edge.then in left}
    order: list[Node] = []
    cycle: tuple[Edge, ...] = ()
    while left:
        blocked = {edge.then for edge in open_edges}
        # A wait comes late, because other deployments can be rolled out before it.
        free = sorted(
            left - blocked, key=lambda node: (node in last, node.kind == "drain", node.name)
        )
        if not free:
            found = _find_cycle(open_edges)
            cycle = cycle or found
            open_edges.discard(found[-1])
            continue
        order.append(free[0])
        left.discard(free[0])
        open_edges = {edge for edge in open_edges if edge.first != free[0]}
    return tuple(order), cycle


def _find_cycle(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """Return the edges of a cycle, in order."""
    arriving = {edge.then: edge for edge in sorted(edges, reverse=True)}
    # Every node here has a predecessor, so walking back must reach a node twice.
    node = min(arriving)
    seen: list[Node] = []
    while node not in seen:
        seen.append(node)
        node = arriving[node].first
    cycle = [arriving[node]]
    while cycle[-1].first != node:
        cycle.append(arriving[cycle[-1].first])
    return tuple(reversed(cycle))
