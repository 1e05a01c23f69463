"""``/graphql``: the API, and GraphiQL for browsers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import falcon
import msgspec
from rolehost.api import Authentication, ErrorFormat
from rolehost.api.http import operation

from rolehost_graphql import errors, metrics, requests
from rolehost_graphql.assets import Assets, page
from rolehost_graphql.context import Context
from rolehost_graphql.declarations import Schema
from rolehost_graphql.execution import Answer, Executor, GraphqlRequest, Refusal
from rolehost_graphql.loops import Loops
from rolehost_graphql.settings import GraphqlSettings

#: Content security policy: the page loads resources from this server only, so it works offline.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HTML = "text/html"

_YEAR = 31_536_000


class GraphqlResource:
    """The API. Its responders are synchronous: each request has a thread and a connection.

    Args:
        executor: executes operations; None if the composition is only inspected, not run.
    """

    def __init__(
        self, executor: Executor | None, settings: GraphqlSettings, assets: Assets | None
    ) -> None:
        self._executor = executor
        self._settings = settings
        self._assets = assets

    @operation(hidden=True)
    def on_get(self, req: Any, resp: Any) -> None:
        """Answer a query, or answer a browser with the page."""
        if self._assets is not None and _is_browser(req):
            _answer_page(resp, page(self._assets, self._assets.api))
            return
        media_type = requests.media_type(req)
        try:
            if self._settings.require_header:
                requests.check_origin(req)
            request = requests.from_query(req)
        except Refusal as refusal:
            _refuse(req, resp, refusal.answer, media_type)
            return
        _send(resp, self._run(req, request, only_queries=True), media_type)

    @operation(hidden=True)
    def on_post(self, req: Any, resp: Any) -> None:
        """Answer a query or a mutation.

        With an ``Idempotency-Key`` all of a request's mutations are one transaction, in which
        the answer is stored: errors roll everything back, and nothing is stored.
        """
        media_type = requests.media_type(req)
        try:
            request = requests.from_body(req, req.context.body)
        except Refusal as refusal:
            _refuse(req, resp, refusal.answer, media_type)
            return
        answer = self._run(req, request, only_queries=False)
        if answer.failed and req.get_header("Idempotency-Key") is not None:
            _roll_back(answer, media_type)
        _send(resp, answer, media_type)

    def _run(self, req: Any, request: GraphqlRequest, *, only_queries: bool) -> Answer:
        assert self._executor is not None
        services = req.context.services
        context = Context(services, req, self._settings.time_limit)
        work = self._executor.run(request, context, only_queries=only_queries)
        return services.get(Loops).run(work)  # type: ignore[no-any-return]


class PageResource:
    """GraphiQL at a separate path for browsers; the page has an input for the token."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    @operation(hidden=True)
    def on_get(self, _req: Any, resp: Any) -> None:
        """Answer with the page."""
        _answer_page(resp, page(self._assets, f"../{self._assets.api}"))


class AssetResource:
    """Scripts and styles of the page; their path contains their version, so they never change."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    @operation(hidden=True)
    def on_get(self, req: Any, resp: Any, version: str, name: str) -> None:
        """Answer with a file, compressed if the client accepts that."""
        asset = self._assets.find(version, name)
        if asset is None:
            raise falcon.HTTPNotFound(description=f"no file {name} of version {version}")
        resp.content_type = asset.media_type
        resp.cache_control = (f"public, max-age={_YEAR}, immutable",)
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.append_header("Vary", "Accept-Encoding")
        if "gzip" in (req.get_header("Accept-Encoding") or ""):
            resp.set_header("Content-Encoding", "gzip")
            resp.data = asset.compressed()
        else:
            resp.data = asset.read()


def authentication_of(parts: Iterable[Schema]) -> Authentication | None:
    """Return an authentication that admits the clients of any part, or None if no part has one."""
    authentications = [part.authentication for part in parts if part.authentication is not None]
    if not authentications:
        return None

    def admits(req: Any) -> bool:
        failure: Exception | None = None
        for each in authentications:
            try:
                if each.admits(req) is True:
                    return True
            except Exception as error:
                # A failure of one authentication must not affect clients of the other parts.
                failure = failure or error
        if failure is not None:
            raise failure
        return False

    first = authentications[0]
    return Authentication(admits=admits, challenge=first.challenge, refusal=first.refusal)


def error_format(path: str) -> ErrorFormat:
    """Return the format of HTTP errors below ``path`` that occur before GraphQL runs."""

    def render(_status: int, title: str, detail: Any, code: str) -> tuple[str, bytes]:
        message = detail if isinstance(detail, str) and detail else title
        shown = errors.UNAUTHENTICATED if code == "authentication_failed" else code.upper()
        error = {"message": message, "extensions": {"code": shown}}
        return requests.RESPONSE, msgspec.json.encode({"errors": [error]})

    return ErrorFormat(path, render)


def _is_browser(req: Any) -> bool:
    """Return whether the client prefers HTML, as browsers do and API clients do not."""
    preferred = req.client_prefers((*requests.ANSWERS, HTML))
    return HTML in (req.get_header("Accept") or "") and preferred == HTML


def _answer_page(resp: Any, html: bytes) -> None:
    resp.content_type = falcon.MEDIA_HTML
    resp.cache_control = ("no-cache",)
    resp.set_header("Content-Security-Policy", POLICY)
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.append_header("Vary", "Accept")
    resp.data = html


def _status(answer: Answer, media_type: str, *, known: bool) -> int:
    """Return the status; for ``application/json`` a well-formed request always gives 200."""
    legacy = media_type == falcon.MEDIA_JSON
    return 200 if legacy and known and answer.status == 400 else answer.status


def _send(resp: Any, answer: Answer, media_type: str, *, known: bool = True) -> None:
    """Send an answer.

    Args:
        known: whether the request is a GraphQL request, even if its document is invalid.
    """
    resp.status = _status(answer, media_type, known=known)
    if resp.status_code == 405:
        resp.set_header("Allow", "POST")
    resp.content_type = f"{media_type}; charset=utf-8"
    resp.append_header("Vary", "Accept")
    resp.cache_control = ("no-store",)
    resp.data = msgspec.json.encode(answer.body)


def _refuse(req: Any, resp: Any, answer: Answer, media_type: str) -> None:
    """Send the answer to a request that is not a GraphQL request."""
    metrics.count_refused(req.context.services, metrics.UNKNOWN, answer.refused)
    _send(resp, answer, media_type, known=False)


def _roll_back(answer: Answer, media_type: str) -> None:
    """Roll back the transaction of the idempotency key, and answer with the errors.

    Raises:
        falcon.HTTPStatus: always, because an exception rolls back the unit of work.
    """
    body = {**answer.body, "extensions": {"rolledBack": True}}
    if "data" in body:
        body["data"] = None
    raise falcon.HTTPStatus(
        _status(answer, media_type, known=True),
        headers={
            "Content-Type": f"{media_type}; charset=utf-8",
            "Cache-Control": "no-store",
            "Vary": "Accept",
        },
        text=msgspec.json.encode(body).decode(),
    )
