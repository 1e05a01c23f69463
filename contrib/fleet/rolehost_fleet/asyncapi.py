"""The events of a fleet as an AsyncAPI 3.0 document: senders, receivers, channels, messages.

Sources: AsyncAPI 3.0.0 (https://www.asyncapi.com/docs/reference/specification/v3.0.0), its Kafka
bindings 0.5.0, and the Kafka protocol binding of CloudEvents 1.0.2 in binary mode.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from rolehost_fleet.model import Fleet, FleetMember

Document = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_KAFKA = {"bindingVersion": "0.5.0"}

#: Required and optional attributes of CloudEvents.
_ALWAYS = {
    "ce_specversion": {"type": "string", "const": "1.0"},
    "ce_id": {"type": "string", "description": "With the source, unique: deduplicate by it."},
    "ce_source": {"type": "string", "format": "uri-reference"},
    "ce_type": {"type": "string", "description": "What happened."},
    "ce_time": {"type": "string", "format": "date-time"},
    "content-type": {"type": "string"},
}
_MAYBE = {"ce_subject": {"type": "string"}}
#: The media type of an event in structured mode.
_STRUCTURED = "application/cloudevents+json"


@dataclass(frozen=True, slots=True)
class _Use:
    """One plugin of one deployment that sends to a topic, or one handler of the topic.

    Attributes:
        member: the deployment.
        plugin: the plugin.
        topic: the topic.
        action: ``send`` or ``receive``.
        name: last part of the operation's name.
        kind: type of the payloads; None if it is not declared.
        group: consumer group of a handler.
        batch: maximum number of events in one call of the handler.
    """

    member: FleetMember
    plugin: str
    topic: str
    action: str
    name: str
    kind: Any = None
    group: str = ""
    batch: int = 1


def asyncapi(fleet: Fleet) -> Document:
    """Return the document; the same fleet always gives the same document.

    If there are several deployments, the name of an operation begins with its deployment. Roles
    that no instance runs have no operations.
    """
    uses = list(_uses(fleet))
    schemas = _Schemas(use.kind for use in uses)
    channels: Document = {}
    operations: Document = {}
    messages: Document = {}
    for use in uses:
        channel = channels.setdefault(_key(use.topic), _channel(use))
        name = schemas.name(use.kind)
        message = f"{_key(use.topic)}.{name}"
        messages[message] = _message(use, name, schemas)
        channel["messages"][name] = {"$ref": f"#/components/messages/{message}"}
        operations[_operation_name(use, fleet)] = _operation(use, name)
    return {
        "asyncapi": "3.0.0",
        "info": _info(fleet),
        "defaultContentType": "application/json",
        "channels": dict(sorted(channels.items())),
        "operations": dict(sorted(operations.items())),
        "components": {
            "messages": dict(sorted(messages.items())),
            "schemas": dict(sorted(schemas.components.items())),
        },
    }


def _info(fleet: Fleet) -> Document:
    members = [member for member in fleet.members if member.roles]
    names = [member.name for member in fleet.members]
    whose = f"the deployment{'s' if len(names) > 1 else ''} {', '.join(names)}"
    versions = {
        f"{plugin.distribution} {plugin.version}"
        for member in members
        for plugin in member.composition.plugins
        if plugin.info.publishes or any(o.plugin == plugin.name for o in member.handlers_run())
    }
    made_of = f" Made of {', '.join(sorted(versions))}." if versions else ""
    return {
        "title": names[0] if len(names) == 1 else fleet.name,
        "version": "1.0.0",
        "description": f"CloudEvents 1.0 that {whose} may send and receive.{made_of}",
    }


def _uses(fleet: Fleet) -> Iterator[_Use]:
    for member in fleet.members:
        for plugin in member.composition.plugins if member.roles else ():
            for topic in sorted(plugin.info.publishes):
                kind = plugin.info.payloads.get(topic)
                yield _Use(member, plugin.name, topic, "send", plugin.name, kind)
        for owned in member.handlers_run():
            handler = owned.value
            yield _Use(
                member,
                owned.plugin,
                handler.topic,
                "receive",
                handler.name,
                None if handler.payload is bytes else handler.payload,
                handler.group,
                handler.batch,
            )


def _key(text: str) -> str:
    """Return a text as a key of a document: letters, digits, ``.``, ``-`` and ``_``."""
    return re.sub(r"[^\w.-]", "_", text, flags=re.ASCII)


def _operation_name(use: _Use, fleet: Fleet) -> str:
    parts = [use.action, use.topic, use.name]
    if len(fleet.members) > 1:
        parts.insert(0, use.member.name)
    return ".".join(map(_key, parts))


def _stream(use: _Use) -> tuple[str, str]:
    """Return the protocol of the member's stream, and the prefix of its topics and groups."""
    facts = use.member.composition.backends["stream"].value.fleet
    return facts.protocol, facts.prefix


def _channel(use: _Use) -> Document:
    protocol, prefix = _stream(use)
    channel: Document = {
        "address": prefix + use.topic,
        "title": use.topic,
        "messages": {},
    }
    if protocol == "kafka":
        channel["bindings"] = {"kafka": {"topic": prefix + use.topic, **_KAFKA}}
    return channel


def _operation(use: _Use, message: str) -> Document:
    protocol, prefix = _stream(use)
    channel = f"#/channels/{_key(use.topic)}"
    if use.action == "send":
        summary = f"The plugin {use.plugin} publishes."
    else:
        batch = f", up to {use.batch} at once" if use.batch > 1 else ""
        summary = f"The handler {use.name} of {use.plugin} takes events{batch}."
    operation: Document = {
        "action": use.action,
        "channel": {"$ref": channel},
        "summary": summary,
        "tags": [{"name": use.member.name}, {"name": use.plugin}],
        "messages": [{"$ref": f"{channel}/messages/{message}"}],
    }
    if protocol == "kafka" and use.group:
        group = {"type": "string", "enum": [prefix + use.group]}
        operation["bindings"] = {"kafka": {"groupId": group, **_KAFKA}}
    return operation


def _message(use: _Use, name: str, schemas: _Schemas) -> Document:
    protocol, _ = _stream(use)
    message: Document = {"name": name, "title": f"{name} on {use.topic}"}
    payload = None if use.kind is None else schemas.of(use.kind)
    modes = use.member.deployment.host.delivery.content_modes
    if modes.get(use.topic) == "structured":
        message.update(_structured(payload))
    else:
        message["headers"] = {
            "type": "object",
            "description": "CloudEvents in binary mode; extension attributes begin with ce_ too.",
            "required": sorted(_ALWAYS),
            "properties": {**_ALWAYS, **_MAYBE},
        }
        if payload is not None:
            message["payload"] = payload
    if protocol == "kafka":
        words = "Events of one key keep their order; events without a key have no order."
        message["bindings"] = {"kafka": {"key": {"type": "string", "description": words}, **_KAFKA}}
    return message


def _structured(data: Document | None) -> Document:
    """Return the description of a message that holds a whole event in the JSON format."""
    attributes = {**_ALWAYS, **_MAYBE, "ce_datacontenttype": {"type": "string"}}
    del attributes["content-type"]
    named = {name.removeprefix("ce_"): schema for name, schema in attributes.items()}
    return {
        "contentType": _STRUCTURED,
        "payload": {
            "type": "object",
            "description": "CloudEvents in structured mode; other members are extensions.",
            "required": ["id", "source", "specversion", "type"],
            "properties": {**named, "data": data or {}, "data_base64": {"type": "string"}},
        },
    }


class _Schemas:
    """The schemas of all payload types; named types are components."""

    def __init__(self, kinds: Iterable[Any]) -> None:
        self.components: Document = {}
        self._of: list[tuple[Any, Document]] = []
        for kind in kinds:
            if kind is not None and not any(kind == known for known, _ in self._of):
                self._of.append((kind, self._made(kind)))

    def _made(self, kind: Any) -> Document:
        try:
            (schema,), components = msgspec.json.schema_components(
                [kind], schema_hook=_custom, ref_template=f"{_SCHEMAS}{{name}}"
            )
        except TypeError:
            return {"description": f"{kind}, which JSON Schema cannot describe"}
        for name, component in components.items():
            if self.components.setdefault(name, component) != component:
                # Two types have the same name: the schema of the second is inlined.
                return msgspec.json.schema(kind, schema_hook=_custom)
        return schema

    def of(self, kind: Any) -> Document:
        """Return the schema of a type, usually a reference to a component."""
        return next(schema for known, schema in self._of if known == kind)

    def name(self, kind: Any) -> str:
        """Return the name of the message whose payload is of a type."""
        return "Event" if kind is None else _key(getattr(kind, "__name__", str(kind)))


def _custom(kind: type) -> Document:
    return {"description": f"{kind.__module__}.{kind.__qualname__}"}
