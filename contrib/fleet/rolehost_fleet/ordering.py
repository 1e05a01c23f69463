"""Who goes before whom: what must come first, put into one order."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple


class Node(NamedTuple):
    """One thing to do in a rollout.

    Attributes:
        kind: ``roll``: a deployment takes its new form; ``drain``: wait until something is
            worked off.
        name: the deployment; or what is waited for.
    """

    kind: str
    name: str


class Edge(NamedTuple):
    """One thing to be done before another, and why."""

    first: Node
    then: Node
    why: str


def rolling(deployment: str) -> Node:
    """The rollout of a deployment."""
    return Node("roll", deployment)


def draining(what: str) -> Node:
    """The wait until something is worked off."""
    return Node("drain", what)


def ordered(
    nodes: Iterable[Node], edges: Iterable[Edge], last: Collection[Node] = ()
) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    """Put nodes into an order that keeps the edges, else by name.

    Args:
        nodes: what is to be done.
        edges: what comes before what; those of other nodes do not count.
        last: nodes that come as late as the edges let them.

    Returns:
        The order; and the edges of a ring, when there is one: no order keeps all of them, so
        the one returned breaks one of these.
    """
    left = set(nodes)
    open_edges = {edge for edge in edges if edge.first in left and edge.then in left}
    order: list[Node] = []
    ring: tuple[Edge, ...] = ()
    while left:
        blocked = {edge.then for edge in open_edges}
        # A wait comes late: others can be rolled out meanwhile.
        free = sorted(
            left - blocked, key=lambda node: (node in last, node.kind == "drain", node.name)
        )
        if not free:
            found = _ring(open_edges)
            ring = ring or found
            open_edges.discard(found[-1])
            continue
        order.append(free[0])
        left.discard(free[0])
        open_edges = {edge for edge in open_edges if edge.first != free[0]}
    return tuple(order), ring


def _ring(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """Return edges of which each begins where the one before ends, and the last closes it."""
    arriving = {edge.then: edge for edge in sorted(edges, reverse=True)}
    # Going back from what is blocked never ends, so it comes by some node twice.
    node = min(arriving)
    seen: list[Node] = []
    while node not in seen:
        seen.append(node)
        node = arriving[node].first
    ring = [arriving[node]]
    while ring[-1].first != node:
        ring.append(arriving[ring[-1].first])
    return tuple(reversed(ring))
