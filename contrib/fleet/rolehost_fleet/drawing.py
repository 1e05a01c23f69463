"""A topology as a picture: SVG, readable on light and on dark pages, without any library."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from rolehost_fleet.graph import Graph, Node
from rolehost_fleet.layout import Box, Layout, Route, layout

#: Pixels: width of a character of the monospaced font at 12 px, height of a line, and what is
#: left free inside a box and around everything. Fonts differ a little, so it is the widest.
CHARACTER = 7.4
LINE = 17.0
PADDING = 12.0
MARGIN = 28.0

_STYLE = """
text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2933; }
.title { font-weight: 700; }
.small { fill: #52606d; }
.page { fill: #ffffff; }
.box { stroke-width: 1.5; }
.processes { fill: #eaf2fb; stroke: #2b6cb0; }
.queue { fill: #fdf3e1; stroke: #b7791f; }
.topic { fill: #e8f6ee; stroke: #2f855a; }
.outside { fill: #f4f4f6; stroke: #7b8794; stroke-dasharray: 5 4; }
.edge { fill: none; stroke-width: 1.6; }
.request { stroke: #7b8794; stroke-dasharray: 5 4; }
.job { stroke: #b7791f; }
.event { stroke: #2f855a; }
.head-request { fill: #7b8794; }
.head-job { fill: #b7791f; }
.head-event { fill: #2f855a; }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e7eb; }
  .small { fill: #b8c0ca; }
  .page { fill: #14181d; }
  .processes { fill: #16283d; stroke: #63a4e8; }
  .queue { fill: #33270f; stroke: #e0a93c; }
  .topic { fill: #123022; stroke: #58c08a; }
  .outside { fill: #1f242a; stroke: #9aa5b1; }
  .request { stroke: #9aa5b1; }
  .job { stroke: #e0a93c; }
  .event { stroke: #58c08a; }
  .head-request { fill: #9aa5b1; }
  .head-job { fill: #e0a93c; }
  .head-event { fill: #58c08a; }
}
"""

_LEGEND = (("request", "requests"), ("job", "jobs"), ("event", "events"))


def svg(graph: Graph) -> str:
    """Return an SVG document; the same graph gives the same text."""
    # What carries comes before who takes: where a circle is cut, the taking goes forward.
    nodes = sorted(graph.nodes, key=lambda node: node.kind == "processes")
    sizes = {node.id: _size(node) for node in nodes}
    placed = layout(sizes, [(edge.source, edge.target) for edge in graph.edges])
    notes = list(_notes(graph))
    width = max(placed.width, *(len(note) * CHARACTER for note in notes), 420.0) + 2 * MARGIN
    below = MARGIN + placed.height + 24.0
    height = below + LINE * (len(notes) + 2) + MARGIN / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' width="{width:.0f}" height="{height:.0f}" role="img">',
        f"<title>{escape(f'The fleet {graph.name}: who runs, sends and takes what')}</title>",
        f"<style>{_STYLE}</style>",
        f"<defs>{''.join(_head(kind) for kind, _ in _LEGEND)}</defs>",
        '<rect class="page" width="100%" height="100%"/>',
        f'<g transform="translate({MARGIN:.0f} {MARGIN:.0f})">',
        *_edges(graph, placed),
        *(part for node in graph.nodes for part in _node(node, placed.boxes[node.id])),
        "</g>",
        *_legend(below),
    ]
    for number, note in enumerate(notes, start=1):
        parts.append(_text(MARGIN, below + LINE * (number + 0.6), note, "small"))
    return "\n".join((*parts, "</svg>")) + "\n"


def _size(node: Node) -> tuple[float, float]:
    longest = max(len(line) for line in (node.title, *node.lines))
    return (
        longest * CHARACTER + 2 * PADDING,
        LINE * (1 + len(node.lines)) + 2 * PADDING - 4.0,
    )


def _notes(graph: Graph) -> Iterator[str]:
    everybody = {node.deployment for node in graph.nodes if node.deployment}
    for kind, backends in graph.storage.items():
        for name, users in backends.items():
            whose = "all" if set(users) == everybody else ", ".join(users)
            yield f"{kind + ':':<10}{name} ({whose})"


def _text(x: float, y: float, text: str, kind: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" xml:space="preserve">{escape(text)}</text>'
    )


def _node(node: Node, box: Box) -> Iterator[str]:
    round_ = 18 if node.kind in ("topic", "outside") else 6 if node.kind == "processes" else 0
    yield (
        f'<rect class="box {node.kind}" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}"'
        f' height="{box.height:.1f}" rx="{round_}"/>'
    )
    y = box.y + PADDING + LINE * 0.6
    yield _text(box.x + PADDING, y, node.title, "title")
    for number, line in enumerate(node.lines, start=1):
        yield _text(box.x + PADDING, y + LINE * number, line, "small")


def _edges(graph: Graph, placed: Layout) -> Iterator[str]:
    for route in placed.routes:
        edge = graph.edges[route.edge]
        path = _corners(route) if route.back else _curve(route)
        title = escape(f"{edge.source} → {edge.target}: {', '.join(edge.names) or edge.kind}")
        yield (
            f'<path class="edge {edge.kind}" d="{path}" marker-end="url(#{edge.kind})">'
            f"<title>{title}</title></path>"
        )


def _curve(route: Route) -> str:
    """Bend between columns, and go straight through those that are passed."""
    (x, y), *rest = route.points
    parts = [f"M{x:.1f} {y:.1f}"]
    for number, (to_x, to_y) in enumerate(rest):
        if number % 2:
            parts.append(f"L{to_x:.1f} {to_y:.1f}")
        else:
            bend = (to_x - x) / 2
            parts.append(
                f"C{x + bend:.1f} {y:.1f} {to_x - bend:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
            )
        x, y = to_x, to_y
    return " ".join(parts)


def _corners(route: Route) -> str:
    """Go along right angles, with round corners."""
    points = route.points
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        parts.append("L{:.1f} {:.1f}".format(*_towards(corner, before)))
        parts.append("Q{:.1f} {:.1f} {:.1f} {:.1f}".format(*corner, *_towards(corner, after)))
    parts.append(f"L{points[-1][0]:.1f} {points[-1][1]:.1f}")
    return " ".join(parts)


def _towards(corner: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Return the point 8 pixels from a corner towards another point, or half way."""
    along = (other[0] - corner[0], other[1] - corner[1])
    length = abs(along[0]) + abs(along[1])
    share = min(8.0, length / 2) / length if length else 0.0
    return corner[0] + along[0] * share, corner[1] + along[1] * share


def _head(kind: str) -> str:
    return (
        f'<marker id="{kind}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7"'
        f' markerHeight="7" orient="auto">'
        f'<path class="head-{kind}" d="M0 0 L10 5 L0 10 z"/></marker>'
    )


def _legend(y: float) -> Iterator[str]:
    x = MARGIN
    for kind, words in _LEGEND:
        yield (f'<path class="edge {kind}" d="M{x:.1f} {y:.1f} h34" marker-end="url(#{kind})"/>')
        yield _text(x + 42, y + 4, words, "small")
        x += 42 + len(words) * CHARACTER + 24
