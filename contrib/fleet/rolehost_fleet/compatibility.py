"""Compare two JSON Schemas: can a reader decode what a writer encodes?

A difference that cannot be compared counts as incompatible: a rollout that waits for a person
costs less than a job that cannot be decoded.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolehost.composition.schemas import (
    CUSTOM,
    Schema,
    alternatives,
    named,
    path_of,
    refusal,
    resolved,
)

#: Bound → -1 if the reader's must be at most the writer's, +1 if at least the writer's.
_BOUNDS = {
    "minimum": -1,
    "exclusiveMinimum": -1,
    "minLength": -1,
    "minItems": -1,
    "minProperties": -1,
    "maximum": 1,
    "exclusiveMaximum": 1,
    "maxLength": 1,
    "maxItems": 1,
    "maxProperties": 1,
}
#: Keywords that must be equal in both schemas if the reader has them.
_SAME = ("pattern", "format", "contentEncoding", "multipleOf", CUSTOM)


def conflicts(reader: Schema, writer: Schema) -> list[str]:
    """Return what the writer may encode and the reader refuses; empty if they are compatible.

    Args:
        reader: schema of the type that decodes.
        writer: schema of the type that encodes.
    """
    return list(dict.fromkeys(_Comparison(reader, writer).differ(reader, writer, "")))


def renamed(old: Schema, new: Schema) -> tuple[str, str] | None:
    """Return the old and the new name of a renamed field, or None if no field was renamed."""
    before, after = fields(old), fields(new)
    gone, come = before.keys() - after.keys(), after.keys() - before.keys()
    if len(gone) == len(come) == 1:
        (was,), (now,) = gone, come
        if _typed(before[was]) == _typed(after[now]):
            return was, now
    return None


def fields(schema: Schema) -> dict[str, Schema]:
    """Return the schemas of the fields of a structure, by name."""
    found: dict[str, Schema] = resolved(schema, schema.get("$defs", {})).get("properties", {})
    return found


def _typed(schema: Schema) -> Schema:
    return {word: value for word, value in schema.items() if word != "default"}


class _Comparison:
    """The comparison of a reader's and a writer's schema, each with its own definitions."""

    def __init__(self, reader: Schema, writer: Schema) -> None:
        self._defs = (reader.get("$defs", {}), writer.get("$defs", {}))
        self._open: set[tuple[int, int]] = (
            set()
        )  # pairs that are being compared: types may be recursive

    def differ(self, reader: Schema, writer: Schema, at: str) -> Iterator[str]:
        """Yield what the writer may encode and the reader refuses."""
        readings = list(alternatives(reader, self._defs[0]))
        for written in alternatives(writer, self._defs[1]):
            found = [list(self._one(reading, written, at)) for reading in readings]
            if not any(not each for each in found):
                # The alternative of the same type gives the best message.
                same = [
                    each
                    for reading, each in zip(readings, found, strict=True)
                    if reading.get("type") == written.get("type")
                ]
                yield from same[0] if len(same) == 1 else [_other(at, readings, written)]

    def _one(self, reader: Schema, writer: Schema, at: str) -> Iterator[str]:
        """Compare two schemas that are neither a union nor a reference."""
        if not reader.keys() - {"default"}:
            return
        if "const" in writer:
            yield from filter(None, [refusal(reader, writer["const"], self._defs[0], at)])
            return
        types = (reader.get("type"), writer.get("type"))
        if "const" in reader or not (types[0] == types[1] or types == ("number", "integer")):
            yield _other(at, [reader], writer)
            return
        yield from _bounded(reader, writer, at)
        if types[0] == "object":
            pair = (id(reader), id(writer))
            if pair not in self._open:
                self._open.add(pair)
                yield from self._objects(reader, writer, at)
                self._open.discard(pair)
        elif types[0] == "array":
            yield from self._arrays(reader, writer, at)

    def _objects(self, reader: Schema, writer: Schema, at: str) -> Iterator[str]:
        known, written = reader.get("properties", {}), writer.get("properties", {})
        more = reader.get("additionalProperties", {})
        for name in reader.get("required", ()):
            if name not in writer.get("required", ()):
                says = "may be missing" if name in written else "is not given"
                yield f"{path_of(at, name)} {says} and is required"
        for name, schema in written.items():
            if name in known:
                yield from self.differ(known[name], schema, path_of(at, name))
            elif more is False:
                yield f"{path_of(at, name)} is not known"
        # A structure encodes its own fields only; a dict encodes any fields.
        rest = writer.get("additionalProperties", {} if not written else False)
        if rest is not False and more is False:
            yield f"{at or 'it'} accepts only its own fields"
        elif isinstance(rest, dict) and isinstance(more, dict) and more:
            yield from self.differ(more, rest, f"{at}[…]")

    def _arrays(self, reader: Schema, writer: Schema, at: str) -> Iterator[str]:
        firsts, others = reader.get("prefixItems", []), writer.get("prefixItems", [])
        for number in range(max(len(firsts), len(others))):
            read = firsts[number] if number < len(firsts) else reader.get("items", {})
            wrote = others[number] if number < len(others) else writer.get("items", {})
            if isinstance(read, dict) and isinstance(wrote, dict):
                yield from self.differ(read, wrote, f"{at}[{number}]")
        read, wrote = reader.get("items", {}), writer.get("items", {})
        if isinstance(read, dict) and isinstance(wrote, dict):
            yield from self.differ(read, wrote, f"{at}[…]")


def _bounded(reader: Schema, writer: Schema, at: str) -> Iterator[str]:
    for word in _SAME:
        if word in reader and reader[word] != writer.get(word):
            yield f"{at or 'it'} must be of {word} {reader[word]}, but may be any other"
    for word, sense in _BOUNDS.items():
        if word not in reader:
            continue
        if word not in writer or (writer[word] - reader[word]) * sense > 0:
            given = f"may be {writer[word]}" if word in writer else "is not bounded"
            yield f"{at or 'it'} has {word} {reader[word]}, and {given}"


def _other(at: str, readings: list[Schema], written: Schema) -> str:
    return f"{at or 'it'} must be {named(readings)}, but may be {named([written])}"
