"""The topology of a fleet as nodes and edges.

Plugins declare what they send, but not in which role. Therefore an edge begins at each role in
which the sending plugin has something to run. If the plugin has nothing to run, an edge begins at
every role.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rolehost.api.contributions import Role
from rolehost.composition.routes import responders
from rolehost.composition.topology import actor_of

from rolehost_fleet.model import Fleet, FleetMember

NodeKind = Literal["processes", "queue", "topic", "outside"]
EdgeKind = Literal["request", "job", "event"]

#: Kind of node → the brackets of its shape in Mermaid.
_SHAPES: dict[NodeKind, tuple[str, str]] = {
    "processes": ("[", "]"),
    "queue": ("[[", "]]"),
    "topic": ("[(", ")]"),
    "outside": ("([", "])"),
}

#: Maximum number of lines of a queue or topic; the last line counts the rest.
MAX_LINES = 8


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the topology.

    Attributes:
        id: unique name.
        kind: kind of node.
        title: name to show.
        lines: details, one for each line.
        deployment: name of its deployment; empty if it belongs to none.
    """

    id: str
    kind: NodeKind
    title: str
    lines: tuple[str, ...] = ()
    deployment: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge between two nodes.

    Attributes:
        source: id of a node.
        target: id of a node.
        kind: kind of edge.
        names: for jobs the actors, for events that a group reads the group; otherwise empty.
    """

    source: str
    target: str
    kind: EdgeKind
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The topology of a fleet.

    Attributes:
        name: of the fleet.
        nodes: processes in the order of deployments, then all others.
        edges: sorted by their ends.
        storage: storage kind → backend's name → names of the deployments that use it.
    """

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    storage: dict[str, dict[str, tuple[str, ...]]]


@dataclass(slots=True)
class _Builder:
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str, EdgeKind], set[str]] = field(default_factory=dict)

    def node(self, *args: Any, **named: Any) -> str:
        node = Node(*args, **named)
        self.nodes.setdefault(node.id, node)
        return node.id

    def edge(self, source: str, target: str, kind: EdgeKind, *names: str) -> None:
        self.edges.setdefault((source, target, kind), set()).update(names)


def graph(fleet: Fleet) -> Graph:
    """Return the topology of a fleet, without roles that no instance runs."""
    builder = _Builder()
    for member in fleet.members:
        for role in member.roles:
            builder.node(
                _id(member, role),
                "processes",
                f"{member.name} · {role}",
                tuple(_details(member, role)),
                member.name,
            )
    _requests(fleet, builder)
    _jobs(fleet, builder)
    _events(fleet, builder)
    _merge_idle_roles(fleet, builder)
    edges = tuple(
        Edge(source, target, kind, tuple(sorted(names)))
        for (source, target, kind), names in sorted(builder.edges.items())
    )
    storage: dict[str, dict[str, tuple[str, ...]]] = {}
    for member in fleet.members:
        for kind, owned in member.composition.backends.items() if member.roles else ():
            users = storage.setdefault(kind, {})
            users[owned.value.name] = (*users.get(owned.value.name, ()), member.name)
    return Graph(name=fleet.name, nodes=tuple(builder.nodes.values()), edges=edges, storage=storage)


def _id(member: FleetMember, role: Role) -> str:
    return f"{member.name}/{role}"


def _details(member: FleetMember, role: Role) -> Iterator[str]:
    count = member.processes(role)
    instances = f"{member.replicas} instance{'s' if member.replicas > 1 else ''}"
    yield f"{instances} × {count} process{'es' if count > 1 else ''}"
    composition = member.composition
    if role == "http":
        counts: dict[str, int] = {}
        for owned in composition.routes:
            counts[owned.plugin] = counts.get(owned.plugin, 0) + len(responders(owned.value))
        for plugin, number in counts.items():
            yield f"{plugin}: {number} route{'s' if number > 1 else ''}"
    elif role == "scheduler":
        for tick in composition.schedules:
            when = tick.value.cron or f"every {tick.value.every:g} s"
            yield f"{tick.value.name}: {when}"
    elif role == "worker":
        yield ", ".join(dict.fromkeys(owned.plugin for owned in member.actors_run()))
    else:
        yield ", ".join(dict.fromkeys(owned.plugin for owned in member.handlers_run()))


def _roles(member: FleetMember, plugin: str) -> tuple[Role, ...]:
    """Return the running roles in which a plugin may send jobs or events."""
    composition = member.composition
    owners: dict[Role, set[str]] = {
        "http": {owned.plugin for owned in composition.routes},
        "worker": {owned.plugin for owned in composition.actors.values()},
        "consumer": {owned.plugin for owned in composition.handlers},
    }
    if not any(plugin in names for names in owners.values()):
        return member.roles
    return tuple(role for role in member.roles if plugin in owners.get(role, ()))


def _merge_idle_roles(fleet: Fleet, builder: _Builder) -> None:
    """Merge each role without edges into a node of the same deployment that has edges."""
    tied = {end for source, target, _ in builder.edges for end in (source, target)}
    for member in fleet.members:
        mine = [_id(member, role) for role in member.roles]
        busy = [name for name in mine if name in tied]
        for name in mine:
            if busy and name not in tied:
                idle, host = builder.nodes.pop(name), builder.nodes[busy[0]]
                role = name.rpartition("/")[2]
                more = f"also {role}: {'; '.join(idle.lines[1:])}"
                builder.nodes[host.id] = replace(host, lines=(*host.lines, more))


def _requests(fleet: Fleet, builder: _Builder) -> None:
    """Draw an edge from clients to each deployment whose routes may send jobs or events."""
    for member in fleet.members:
        if "http" not in member.roles:
            continue
        sending = {
            plugin.name
            for plugin in member.composition.plugins
            if plugin.info.enqueues or plugin.info.publishes
        }
        if any(owned.plugin in sending for owned in member.composition.routes):
            clients = builder.node("clients", "outside", "clients", ("HTTP",))
            builder.edge(clients, _id(member, "http"), "request")


def _jobs(fleet: Fleet, builder: _Builder) -> None:
    queues = _queues(fleet)
    actors = {name: queue for queue, names in queues.items() for name in names}
    for member in fleet.members:
        for owned in member.actors_run():
            queue = _queue(builder, owned.value.queue, queues)
            builder.edge(queue, _id(member, "worker"), "job", owned.value.name)
        for plugin in member.composition.plugins if member.roles else ():
            for name in plugin.info.enqueues:
                queue = _queue(builder, actors.get(name, "?"), queues)
                for role in _roles(member, plugin.name):
                    builder.edge(_id(member, role), queue, "job", name)
        for tick in member.schedules_run():
            name = actor_of(tick.value)
            queue = _queue(builder, actors.get(name, "?"), queues)
            builder.edge(_id(member, "scheduler"), queue, "job", name)


def _queues(fleet: Fleet) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for member in fleet.members:
        for owned in member.composition.actors.values():
            names = found.setdefault(owned.value.queue, [])
            if owned.value.name not in names:
                names.append(owned.value.name)
    return found


def _queue(builder: _Builder, name: str, queues: dict[str, list[str]]) -> str:
    if name not in queues:
        return builder.node("outside workers", "outside", "other workers", ("outside the fleet",))
    return builder.node(f"queue {name}", "queue", f"queue {name}", truncate(sorted(queues[name])))


def _events(fleet: Fleet, builder: _Builder) -> None:
    groups: dict[str, dict[str, None]] = {}
    sent: set[str] = set()
    for member in fleet.members:
        for owned in member.handlers_run():
            groups.setdefault(owned.value.topic, {})[f"group {owned.value.group}"] = None
    for member in fleet.members:
        for plugin in member.composition.plugins if member.roles else ():
            for topic in plugin.info.publishes:
                sent.add(topic)
                node = _topic(builder, topic, groups)
                for role in _roles(member, plugin.name):
                    builder.edge(_id(member, role), node, "event")
        for owned in member.handlers_run():
            node = _topic(builder, owned.value.topic, groups)
            builder.edge(node, _id(member, "consumer"), "event", owned.value.group)
    for topic in {*groups, *sent}:
        if fleet.external(f"topic:{topic}") or topic not in sent or topic not in groups:
            _outside(builder, topic, topic in groups)


def _topic(builder: _Builder, topic: str, groups: dict[str, dict[str, None]]) -> str:
    lines = truncate(list(groups.get(topic, {"no group of the fleet": None})))
    return builder.node(f"topic {topic}", "topic", f"topic {topic}", lines)


def _outside(builder: _Builder, topic: str, read_here: bool) -> None:
    if read_here:
        other = builder.node("outside publishers", "outside", "other publishers", ("events",))
        builder.edge(other, f"topic {topic}", "event")
    else:
        other = builder.node("outside readers", "outside", "other readers", ("events",))
        builder.edge(f"topic {topic}", other, "event")


def truncate(lines: list[str]) -> tuple[str, ...]:
    """Return at most :data:`MAX_LINES` lines; the last one counts the omitted lines."""
    if len(lines) <= MAX_LINES:
        return tuple(lines)
    return (*lines[: MAX_LINES - 1], f"and {len(lines) - MAX_LINES + 1} more")


def mermaid(graph: Graph) -> str:
    """Return a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html) of a topology."""
    ids = {node.id: f"n{index}" for index, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    deployments = dict.fromkeys(node.deployment for node in graph.nodes if node.deployment)
    for index, deployment in enumerate(deployments):
        lines.append(f"    subgraph d{index} [{_quote(deployment)}]")
        lines += [
            f"        {_node(ids, node)}" for node in graph.nodes if node.deployment == deployment
        ]
        lines.append("    end")
    lines += [f"    {_node(ids, node)}" for node in graph.nodes if not node.deployment]
    for edge in graph.edges:
        arrow = "-.->" if edge.kind == "request" else "-->"
        label = f"|{_quote('<br>'.join(edge.names))}|" if edge.names else ""
        lines.append(f"    {ids[edge.source]} {arrow}{label} {ids[edge.target]}")
    return "\n".join(lines) + "\n"


def _node(ids: dict[str, str], node: Node) -> str:
    left, right = _SHAPES[node.kind]
    return f"{ids[node.id]}{left}{_quote('<br>'.join((node.title, *node.lines)))}{right}"


def _quote(text: str) -> str:
    return '"' + text.replace("&", "&amp;").replace('"', "&quot;") + '"'
