"""Parsing of GraphQL-over-HTTP requests.

Source: the GraphQL-over-HTTP specification (draft), https://graphql.github.io/graphql-over-http/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon
from rolehost.api import load_json

from rolehost_graphql import errors
from rolehost_graphql.execution import GraphqlRequest, refuse

#: Distinguishes answers of a GraphQL server from answers of a proxy in front of it.
RESPONSE = "application/graphql-response+json"

#: Media types of answers in order of preference.
ANSWERS = (RESPONSE, falcon.MEDIA_JSON)

#: Headers that a cross-origin page cannot send without a CORS preflight.
PREFLIGHTED = ("Apollo-Require-Preflight", "X-Apollo-Operation-Name", "X-Requested-With")

#: Media types that a cross-origin form can send without a preflight (Fetch, "CORS-safelisted").
SAFELISTED = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})


def media_type(req: falcon.Request) -> str:
    """Return the media type of the answer; the default is plain JSON.

    Raises:
        falcon.HTTPNotAcceptable: the client accepts no media type of :data:`ANSWERS`.
    """
    if req.get_header("Accept") in (None, "*/*"):
        return falcon.MEDIA_JSON
    chosen = req.client_prefers(ANSWERS)
    if chosen is None:
        raise falcon.HTTPNotAcceptable(description=f"Answers are {' or '.join(ANSWERS)}.")
    return chosen


def from_body(req: falcon.Request, body: bytes) -> GraphqlRequest:
    """Parse the body of a POST request.

    Raises:
        falcon.HTTPUnsupportedMediaType: the media type is not JSON, or the charset not UTF-8.
        Refusal: the body is not a GraphQL request.
    """
    media, _, parameters = (req.content_type or "").partition(";")
    charset = parameters.lower().partition("charset=")[2].split(";")[0].strip(' "')
    if media.strip().lower() != falcon.MEDIA_JSON or charset not in ("", "utf-8", "utf8"):
        raise falcon.HTTPUnsupportedMediaType(
            description="The body of a request is application/json, in UTF-8."
        )
    try:
        fields = load_json(body)
    except ValueError as error:
        raise refuse(f"The body is not JSON: {error}", errors.BAD_REQUEST) from None
    if isinstance(fields, list):
        raise refuse("A request has one operation; batches are not supported.", errors.BAD_REQUEST)
    if not isinstance(fields, dict):
        raise refuse("The body is not a JSON object.", errors.BAD_REQUEST)
    return _make_request(fields)


def from_query(req: falcon.Request) -> GraphqlRequest:
    """Parse the query parameters of a GET request.

    Raises:
        Refusal: the parameters are not a GraphQL request.
    """
    fields: dict[str, Any] = {
        name: req.get_param(name) for name in ("query", "operationName") if req.get_param(name)
    }
    for name in ("variables", "extensions"):
        text = req.get_param(name)
        if text:
            try:
                fields[name] = load_json(text)
            except ValueError as error:
                raise refuse(f"{name} is not JSON: {error}", errors.BAD_REQUEST) from None
    return _make_request(fields)


def check_origin(req: falcon.Request) -> None:
    """Prevent cross-site request forgery (CSRF) for GET requests.

    A POST has ``application/json``, which needs a CORS preflight. A GET changes nothing, but its
    duration may reveal data, so it must have a header that needs a preflight.

    Raises:
        Refusal: the request has no such header.
    """
    media = (req.content_type or "").partition(";")[0].strip().lower()
    if media and media not in SAFELISTED:
        return
    if any(req.get_header(name) for name in PREFLIGHTED):
        return
    raise refuse(
        f"A GET needs one of the headers {', '.join(PREFLIGHTED)}, or Content-Type:"
        " application/json, so that no other site's page can send it.",
        errors.BAD_REQUEST,
    )


def _make_request(fields: Mapping[str, Any]) -> GraphqlRequest:
    query = fields.get("query")
    if not isinstance(query, str):
        raise refuse("query is missing, or not a string.", errors.BAD_REQUEST)
    variables = fields.get("variables")
    if variables is not None and not isinstance(variables, dict):
        raise refuse("variables is not an object.", errors.BAD_REQUEST)
    operation = fields.get("operationName")
    if operation is not None and not isinstance(operation, str):
        raise refuse("operationName is not a string.", errors.BAD_REQUEST)
    extensions = fields.get("extensions")
    if extensions is not None and not isinstance(extensions, dict):
        raise refuse("extensions is not an object.", errors.BAD_REQUEST)
    return GraphqlRequest(query=query, variables=variables or {}, operation=operation or None)
