"""A layered layout: columns from left to right, so that most edges go that way.

The steps are Sugiyama's (Sugiyama, Tagawa, Toda: *Methods for visual understanding of
hierarchical system structures*, 1981): circles are broken, nodes get layers, long edges get a
place in each layer that they pass, layers are ordered by barycentres, then placed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

#: Pixels between columns, and between boxes of one.
COLUMN_GAP = 96.0
ROW_GAP = 28.0
#: Height that a passing edge has in a column.
LANE = 6.0
#: How often the order, and the places, are mended.
SWEEPS = 12

Size = tuple[float, float]


@dataclass(slots=True)
class Box:
    """Where a node is: its upper left corner and its size, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """The height of its middle."""
        return self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Route:
    """How an edge goes.

    Attributes:
        edge: index of the edge.
        points: from the source's right side to the target's left side, by way of the columns
            between.
        back: it goes against the direction, below everything else.
    """

    edge: int
    points: tuple[tuple[float, float], ...]
    back: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes by node, a route for each edge, and the size of the whole."""

    boxes: Mapping[str, Box]
    routes: tuple[Route, ...]
    width: float
    height: float


def layout(sizes: Mapping[str, Size], edges: Sequence[tuple[str, str]]) -> Layout:
    """Place nodes and edges; the same input gives the same picture.

    Args:
        sizes: width and height of each node, in pixels.
        edges: pairs of nodes; circles are allowed.
    """
    back = _backward(list(sizes), edges)
    forward = [pair for index, pair in enumerate(edges) if index not in back]
    layer = _layers(list(sizes), forward)
    columns, chains = _columns(list(sizes), edges, back, layer)
    links = [pair for chain in chains.values() for pair in pairwise(chain)]
    _order(columns, links)
    boxes = _place(columns, links, sizes)
    return _routed(boxes, edges, chains, back, sizes, layer)


def _backward(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> set[int]:
    """Return the edges that close a circle, found depth first in the order of the nodes."""
    out: dict[str, list[tuple[int, str]]] = {node: [] for node in nodes}
    inside = dict.fromkeys(nodes, 0)
    for index, (source, target) in enumerate(edges):
        out[source].append((index, target))
        inside[target] += source != target
    back: set[int] = set()
    done: set[str] = set()
    open_: set[str] = set()

    def visit(node: str) -> None:
        open_.add(node)
        for index, target in out[node]:
            if target in open_:
                back.add(index)
            elif target not in done:
                visit(target)
        open_.discard(node)
        done.add(node)

    for node in sorted(nodes, key=lambda name: inside[name] > 0):
        if node not in done:
            visit(node)
    return back


def _layers(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return the column of each node: the longest way to it, sources close to their targets."""
    layer = dict.fromkeys(nodes, 0)
    for _ in nodes:
        for source, target in edges:
            layer[target] = max(layer[target], layer[source] + 1)
    entered = {target for _, target in edges}
    for node in nodes:
        targets = [layer[target] for source, target in edges if source == node]
        if node not in entered and targets:
            layer[node] = min(targets) - 1
    return layer


def _columns(
    nodes: Sequence[str],
    edges: Sequence[tuple[str, str]],
    back: set[int],
    layer: Mapping[str, int],
) -> tuple[list[list[str]], dict[int, list[str]]]:
    """Return the columns, with a place for each passing edge, and the way of each edge."""
    columns: list[list[str]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for node in nodes:
        columns[layer[node]].append(node)
    chains: dict[int, list[str]] = {}
    for index, (source, target) in enumerate(edges):
        if index in back:
            continue
        chain = [source]
        for column in range(layer[source] + 1, layer[target]):
            # No node is named so: names have no such character.
            lane = f"\0{index}:{column}"
            columns[column].append(lane)
            chain.append(lane)
        chains[index] = [*chain, target]
    return columns, chains


def _neighbours(links: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for source, target in links:
        found.setdefault(source, []).append(target)
        found.setdefault(target, []).append(source)
    return found


def _order(columns: list[list[str]], links: Sequence[tuple[str, str]]) -> None:
    """Order each column by the mean rank of what its nodes are tied to."""
    near = _neighbours(links)
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            rank = {
                name: (index + 0.5) / len(each)
                for each in columns
                for index, name in enumerate(each)
            }

            def barycentre(name: str, rank: dict[str, float] = rank) -> float:
                ties = near.get(name, [name])
                return sum(rank[other] for other in ties) / len(ties)

            column.sort(key=barycentre)


def _place(
    columns: Sequence[Sequence[str]],
    links: Sequence[tuple[str, str]],
    sizes: Mapping[str, Size],
) -> dict[str, Box]:
    """Give every node and lane its place; nothing of a column overlaps."""
    boxes: dict[str, Box] = {}
    x = 0.0
    for column in columns:
        wide = max((sizes[name][0] for name in column if name in sizes), default=0.0)
        y = 0.0
        for name in column:
            width, height = sizes.get(name, (wide, LANE))
            boxes[name] = Box(x + (wide - width) / 2, y, width, height)
            y += height + ROW_GAP
        x += wide + COLUMN_GAP
    near = _neighbours(links)
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            _settle(column, near, boxes)
    top = min((box.y for box in boxes.values()), default=0.0)
    for box in boxes.values():
        box.y -= top
    return boxes


def _settle(column: Sequence[str], near: Mapping[str, list[str]], boxes: dict[str, Box]) -> None:
    """Move a column's boxes towards the middle of what they are tied to, in their order."""
    wished = []
    for name in column:
        ties = near.get(name, [name])
        middle = sum(boxes[other].middle for other in ties) / len(ties)
        wished.append(middle - boxes[name].height / 2)
    y = float("-inf")
    for name, wish in zip(column, wished, strict=True):
        boxes[name].y = max(wish, y)
        y = boxes[name].y + boxes[name].height + ROW_GAP
    if column:
        moved = sum(boxes[n].y - w for n, w in zip(column, wished, strict=True)) / len(column)
        for name in column:
            boxes[name].y -= moved


def _routed(
    boxes: dict[str, Box],
    edges: Sequence[tuple[str, str]],
    chains: Mapping[int, Sequence[str]],
    back: set[int],
    sizes: Mapping[str, Size],
    layer: Mapping[str, int],
) -> Layout:
    bottom = max((box.y + box.height for box in boxes.values()), default=0.0)
    exits = _ports(boxes, edges, chains, 0)
    entries = _ports(boxes, edges, chains, 1)
    columns = {
        column: (
            min(boxes[name].x for name in sizes if layer[name] == column),
            max(boxes[name].x + boxes[name].width for name in sizes if layer[name] == column),
        )
        for column in set(layer.values())
    }
    routes = []
    for index, (source, target) in enumerate(edges):
        start = (boxes[source].x + boxes[source].width, exits[index])
        end = (boxes[target].x, entries[index])
        if index in back:
            lane = len([each for each in back if each < index]) + 1
            right = columns[layer[source]][1] + 16.0 + 8.0 * lane
            left = columns[layer[target]][0] - 16.0 - 8.0 * lane
            low = bottom + 18.0 * lane
            points = [start, (right, start[1]), (right, low), (left, low), (left, end[1]), end]
        else:
            points = [start]
            for name in chains[index][1:-1]:
                box = boxes[name]
                points += [(box.x, box.middle), (box.x + box.width, box.middle)]
            points.append(end)
        routes.append(Route(index, tuple(points), index in back))
    return _framed({name: boxes[name] for name in sizes}, routes)


def _framed(boxes: dict[str, Box], routes: Sequence[Route]) -> Layout:
    """Move everything so that it begins at 0, and measure it."""
    ends = [(box.x + box.width, box.y + box.height) for box in boxes.values()]
    points = [point for route in routes for point in route.points] + ends
    left = min((x for x, _ in [*points, *((box.x, box.y) for box in boxes.values())]), default=0.0)
    for box in boxes.values():
        box.x -= left
    moved = tuple(
        Route(route.edge, tuple((x - left, y) for x, y in route.points), route.back)
        for route in routes
    )
    width = max((x for x, _ in points), default=0.0) - left
    return Layout(boxes, moved, width, max((y for _, y in points), default=0.0))


def _ports(
    boxes: Mapping[str, Box],
    edges: Sequence[tuple[str, str]],
    chains: Mapping[int, Sequence[str]],
    side: int,
) -> dict[int, float]:
    """Return the height at which each edge leaves (side 0) or enters (side 1) its node.

    The edges of one side of a node are spread over it, in the order of where they come from.
    """
    sides: dict[str, list[int]] = {}
    for index, pair in enumerate(edges):
        sides.setdefault(pair[side], []).append(index)
    heights: dict[int, float] = {}
    for name, found in sides.items():

        def other(index: int) -> float:
            if index not in chains:
                return float("inf")  # those that go back leave and enter lowest
            return boxes[chains[index][1 if side == 0 else -2]].middle

        box = boxes[name]
        for number, index in enumerate(sorted(found, key=other), start=1):
            heights[index] = box.y + box.height * number / (len(found) + 1)
    return heights
