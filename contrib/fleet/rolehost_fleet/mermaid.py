"""A topology as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html)."""

from __future__ import annotations

from rolehost_fleet.graph import Graph, Node, NodeKind

_SHAPES: dict[NodeKind, tuple[str, str]] = {
    "processes": ("[", "]"),
    "queue": ("[[", "]]"),
    "topic": ("[(", ")]"),
    "outside": ("([", "])"),
}


def mermaid(graph: Graph) -> str:
    """Return the text of a flowchart, deployments as subgraphs."""
    ids = {node.id: f"n{index}" for index, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    deployments = dict.fromkeys(node.deployment for node in graph.nodes if node.deployment)
    for index, deployment in enumerate(deployments):
        lines.append(f"    subgraph d{index} [{_quoted(deployment)}]")
        lines += [
            f"        {_node(ids, node)}" for node in graph.nodes if node.deployment == deployment
        ]
        lines.append("    end")
    lines += [f"    {_node(ids, node)}" for node in graph.nodes if not node.deployment]
    for edge in graph.edges:
        arrow = "-.->" if edge.kind == "request" else "-->"
        label = f"|{_quoted('<br>'.join(edge.names))}|" if edge.names else ""
        lines.append(f"    {ids[edge.source]} {arrow}{label} {ids[edge.target]}")
    return "\n".join(lines) + "\n"


def _node(ids: dict[str, str], node: Node) -> str:
    left, right = _SHAPES[node.kind]
    return f"{ids[node.id]}{left}{_quoted('<br>'.join((node.title, *node.lines)))}{right}"


def _quoted(text: str) -> str:
    return '"' + text.replace("&", "&amp;").replace('"', "&quot;") + '"'
