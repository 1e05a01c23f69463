"""Converts Falcon's URI templates to OpenAPI paths.

Source: Falcon's manual, "Routing", field converters; OpenAPI 3.1.1, "Path Templating".
"""

from __future__ import annotations

import re
from typing import Any

Schema = dict[str, Any]

# The argument ends at the first ")" before a "}", so that re("[a-z]{3}") can contain braces.
_FIELD = re.compile(r"\{(?P<name>[^}:]+)(?::(?P<converter>\w+)(?:\((?P<argument>.*?)\))?)?\}")
_BOUND = re.compile(r"\b(min|max)\s*=\s*(-?\d+(?:\.\d+)?)")
_QUOTED = re.compile(r"""^\s*[rR]?(?P<quote>["'])(?P<text>.*)(?P=quote)\s*$""")

_CONVERTERS: dict[str, Schema] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "uuid": {"type": "string", "format": "uuid"},
    "dt": {"type": "string", "format": "date-time"},
}


def translate(template: str) -> tuple[str, list[Schema]]:
    """Return the OpenAPI path of a template, and its parameters in order.

    Example:
        ``/app/{app_id}/page/{number:int(min=1)}`` gives ``/app/{app_id}/page/{number}`` and
        parameters for ``app_id`` (string) and ``number`` (integer, minimum 1).
    """
    parameters: list[Schema] = []

    def field(match: re.Match[str]) -> str:
        name = match["name"].strip()
        schema = _schema(match["converter"], match["argument"] or "")
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
        return f"{{{name}}}"

    return _FIELD.sub(field, template), parameters


def _schema(converter: str | None, argument: str) -> Schema:
    if converter == "re":
        quoted = _QUOTED.match(argument)
        pattern = {"pattern": f"^(?:{quoted['text']})$"} if quoted else {}
        return {"type": "string", **pattern}
    schema = dict(_CONVERTERS.get(converter or "", {"type": "string"}))
    if converter in ("int", "float"):
        for word, number in _BOUND.findall(argument):
            value = float(number)
            schema[f"{word}imum"] = int(value) if value.is_integer() else value
    return schema
