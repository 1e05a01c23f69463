"""The OpenAPI 3.1 document of a composition.

Source: OpenAPI Specification 3.1.1; RFC 9457 for the errors of the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from rolehost.api import ErrorFormat, Route

from rolehost_openapi.operations import RouteOperation, identify, list_operations
from rolehost_openapi.schemas import Schema, Schemas
from rolehost_openapi.settings import OpenapiSettings
from rolehost_openapi.templates import translate


class ProblemDetails(msgspec.Struct, omit_defaults=True):
    """An error (RFC 9457)."""

    title: str
    status: int
    type: str = "about:blank"
    detail: str | None = None
    instance: str | None = None
    code: str | None = None
    errors: list[dict[str, Any]] = []


def build(
    routes: Sequence[tuple[str, Route]],
    error_formats: Sequence[tuple[str, ErrorFormat]],
    *,
    deployment: str,
    settings: OpenapiSettings,
) -> dict[str, Any]:
    """Return the document: paths, parameters, bodies, answers and the necessary schemas.

    The document does not depend on the order of plugins.

    Args:
        routes: pairs of a plugin's name and one of its routes.
        error_formats: pairs of a plugin's name and one of its error formats.
        deployment: name of the deployment.
        settings: settings of this plugin.

    Raises:
        TypeError: a type of an operation cannot be converted to JSON Schema.
    """
    operations = list_operations(routes)
    schemas = Schemas(_types(operations))
    writer = _Writer(schemas, [entry for _, entry in error_formats])
    paths: dict[str, Schema] = {}
    for entry, identifier in zip(operations, identify(operations), strict=True):
        path, parameters = translate(entry.route.path)
        # Templates that differ only in converters are one path in OpenAPI.
        paths.setdefault(path, {}).setdefault(
            entry.method, writer.operation(entry, identifier, parameters)
        )
    info = {
        "title": settings.title or deployment,
        "version": settings.version,
        "description": settings.description,
    }
    tags = {tag for item in paths.values() for entry in item.values() for tag in entry["tags"]}
    document: dict[str, Any] = {
        "openapi": "3.1.1",
        "info": {key: value for key, value in info.items() if value},
        "servers": [{"url": url} for url in settings.servers],
        "tags": [{"name": tag} for tag in sorted(tags)],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": schemas.used(paths)},
    }
    if not settings.servers:
        del document["servers"]  # the default is the server that serves the document
    return document


def _types(operations: Sequence[RouteOperation]) -> dict[Any, str]:
    """Return all types of the operations, each with the first operation that uses it."""
    types: dict[Any, str] = {ProblemDetails: "errors"}
    for entry in operations:
        operation = entry.operation
        for kind in (operation.request, operation.query, *operation.responses.values()):
            if kind is not None and not isinstance(kind, str):
                types.setdefault(kind, entry.location)
    return types


class _Writer:
    """Writes operation objects."""

    def __init__(self, schemas: Schemas, error_formats: Sequence[ErrorFormat]) -> None:
        self._schemas = schemas
        self._formats = sorted(error_formats, key=lambda entry: -len(entry.prefix))

    def operation(self, entry: RouteOperation, identifier: str, parameters: list[Schema]) -> Schema:
        """Return the operation object of one method."""
        operation = entry.operation
        summary, description = _summary(entry)
        result: Schema = {
            "operationId": identifier,
            "tags": list(operation.tags) or [entry.plugin],
            "summary": summary,
            "description": description,
            "parameters": [*parameters, *self._query(operation.query), *_idempotency(entry)],
        }
        if operation.request is not None:
            content = {"application/json": {"schema": self._schemas.of(operation.request)}}
            result["requestBody"] = {"required": True, "content": content}
        result["responses"] = self._responses(entry)
        return {key: value for key, value in result.items() if value}

    def _query(self, kind: Any) -> list[Schema]:
        if kind is None:
            return []
        fields, required = self._schemas.fields(kind)
        return [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in fields.items()
        ]

    def _responses(self, entry: RouteOperation) -> Schema:
        responses: Schema = {}
        declared = entry.operation.responses or {200: "*/*"}
        for status, kind in sorted(declared.items()):
            response: Schema = {"description": _reason_phrase(status)}
            if isinstance(kind, str):
                response["content"] = {kind: {}}
            elif kind is not None:
                response["content"] = {"application/json": {"schema": self._schemas.of(kind)}}
            responses[str(status)] = response
        responses["default"] = {"description": "Error", "content": self._errors(entry.route.path)}
        return responses

    def _errors(self, path: str) -> Schema:
        for entry in self._formats:
            if f"{path}/".startswith(entry.prefix.rstrip("/") + "/"):
                # The plugin defines the format of these errors; an example shows it.
                title, code = "Internal Server Error", "internal_server_error"
                media_type, body = entry.render(500, title, title, code)
                return {media_type: _example(body)}
        return {"application/problem+json": {"schema": self._schemas.of(ProblemDetails)}}


def _summary(entry: RouteOperation) -> tuple[str, str]:
    """Return summary and description; the default summary is the docstring's first line."""
    first, _, rest = entry.text.partition("\n")
    summary = entry.operation.summary or first.strip()
    if entry.operation.summary:
        return summary, ""
    return summary, "\n".join(line.strip() for line in rest.splitlines()).strip()


def _idempotency(entry: RouteOperation) -> list[Schema]:
    if not entry.route.idempotent or entry.method not in ("post", "patch"):
        return []
    return [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "The same key and body give the stored response; another body 422.",
            "schema": {"type": "string"},
        }
    ]


def _example(body: bytes) -> Schema:
    try:
        return {"example": msgspec.json.decode(body)}
    except msgspec.DecodeError:
        return {}  # not JSON


def _reason_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return str(status)
