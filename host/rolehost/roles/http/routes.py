"""The router, which matches each request to its route once, by the raw path.

:meth:`Router.match` runs before any other code reads the path. It stores the route and its
:class:`Rules` in the ASGI scope: admission, body limit, error format, and the template for logs
and metrics. Falcon gets this result and does not match again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import falcon
from falcon.routing import CompiledRouter, map_http_methods

from rolehost.api.contributions import ErrorFormat, Route
from rolehost.roles.http.access import Admission
from rolehost.roles.http.paths import ORDINARY, MalformedPath, decode_path, raw_pattern
from rolehost.roles.http.responders import Adapt
from rolehost.roles.http.scope import FOUND, RULES, Rules, Scope

#: Key of the rules for methods that no route of the template has. If any route of the template
#: needs admission, these methods need it too.
_OTHER_METHODS = ""


class _CompiledRouter(CompiledRouter):
    """Falcon's router, for responders that are already mapped to methods."""

    def map_http_methods(self, resource: object, **kwargs: Any) -> Any:  # noqa: ARG002
        return dict(kwargs["responders"])


class Router:
    """Matches requests to routes, and gives Falcon the result.

    There is one compiled router for each literal first segment, and one for the templates that
    begin with a variable. Falcon compares a segment with all its siblings one by one, so a single
    router would become slower with each plugin. As in Falcon, literal segments take precedence
    over variables.

    ``max_body`` (bytes) is the default for routes without a limit and requests without a route.
    ``not_found`` makes the error for a request without a route; None: Falcon's own 404.
    """

    def __init__(
        self,
        adapt: Adapt,
        *,
        max_body: int,
        formats: Sequence[ErrorFormat] = (),
        not_found: Callable[[], falcon.HTTPError] | None = None,
    ) -> None:
        self._adapt = adapt
        self._literal: dict[str, _CompiledRouter] = {}
        self._variable = _CompiledRouter()
        self._responders: dict[str, dict[str, Any]] = {}
        self._rules: dict[str, dict[str, Rules]] = {}
        self._max_body = max_body
        self._formats = sorted(formats, key=lambda each: len(each.prefix), reverse=True)
        self._not_found = not_found

    def add(self, route: Route, admit: Admission | None) -> None:
        """Add a route. Routes with the same template are merged by method.

        ValueError: the template conflicts with another one.
        """
        template = route.path
        mapped = map_http_methods(route.resource, suffix=route.suffix or None)
        shared = self._responders.setdefault(template, {})
        for method, responder in mapped.items():
            shared[method] = self._adapt(route, method, responder)
        first = template[1:].partition("/")[0]
        compiled = self._variable if "{" in first else self._literal.get(first, _CompiledRouter())
        compiled.add_route(template, route.resource, _asgi=True, responders=shared)
        if compiled is not self._variable:
            self._literal[first] = compiled
        rules = Rules(
            template=template,
            max_body=self._max_body if route.max_body is None else route.max_body,
            admit=admit,
            render=self._render_below(template),
            trailing_slash=route.trailing_slash,
            raw_pattern=raw_pattern(template),
        )
        by_method = self._rules.setdefault(template, {})
        by_method.update(dict.fromkeys(mapped, rules))
        if _OTHER_METHODS not in by_method or by_method[_OTHER_METHODS].admit is None:
            by_method[_OTHER_METHODS] = rules

    def match(self, scope: Scope) -> None:
        """Match a request, and store the result in its scope.

        ``path`` of the scope becomes the canonical path: decoded, and without the trailing slash
        if the route accepts one.
        """
        raw: bytes = scope.get("raw_path") or b""
        # PERF: nearly every request takes this fast path.
        if ORDINARY.fullmatch(raw):
            path = raw.decode("ascii")
            found = self._find(path)
            if found is not None:
                scope["path"] = path
                scope[FOUND] = found
                scope[RULES] = self._rules_of(found[3], scope)
                return
        self._match_any(raw, scope)

    def _match_any(self, raw: bytes, scope: Scope) -> None:
        """Match a path that is percent-encoded, has a trailing slash, or has no route."""
        scope[FOUND] = None
        try:
            path = decode_path(raw)
        except MalformedPath:
            scope[RULES] = self._without_route(raw, _malformed)
            return
        if path is not None:
            slash = path.endswith("/") and path != "/"
            path = path[:-1] if slash else path
            found = self._find(path)
            if found is not None:
                rules = self._rules_of(found[3], scope)
                assert rules.raw_pattern is not None
                if rules.raw_pattern.fullmatch(raw) and (rules.trailing_slash or not slash):
                    scope["path"] = path
                    scope[FOUND] = found
                    scope[RULES] = rules
                    return
        scope[RULES] = self._without_route(raw, self._not_found)

    def _find(self, path: str) -> Any:
        """Return Falcon's (resource, responders, variables, template) for a path, or None."""
        compiled = self._literal.get(path[1:].partition("/")[0])
        found = None if compiled is None else compiled.find(path)
        return self._variable.find(path) if found is None else found

    def _rules_of(self, template: str, scope: Scope) -> Rules:
        by_method = self._rules[template]
        return by_method.get(scope.get("method", "WEBSOCKET")) or by_method[_OTHER_METHODS]

    def find(self, _uri: str, req: Any = None) -> Any:
        """Return the matched route to Falcon; raise an error if the request is not admitted.

        Falcon calls it for HTTP and WebSockets, after the middleware's ``process_request`` and
        before any other step of the route.
        """
        scope = req.scope
        admit = scope[RULES].admit
        if admit is not None:
            admit(req)
        return scope[FOUND]

    def compile(self) -> None:
        """Compile all routes now, not at the first request to each."""
        for compiled in (*self._literal.values(), self._variable):
            compiled.find("")

    @property
    def smallest_body(self) -> int:
        """The smallest body limit of any route, bytes."""
        limits = [rules.max_body for each in self._rules.values() for rules in each.values()]
        return min([self._max_body, *limits])

    def _without_route(self, raw: bytes, make: Callable[[], falcon.HTTPError] | None) -> Rules:
        def refuse(_req: Any) -> None:
            if make is not None:
                raise make()

        render = self._render_below(raw.decode("latin-1"))
        return Rules(max_body=self._max_body, admit=refuse, render=render)

    def _render_below(self, path: str) -> Any:
        for each in self._formats:
            prefix = each.prefix.rstrip("/")
            if path == prefix or path.startswith(prefix + "/"):
                return each.render
        return None


def _malformed() -> falcon.HTTPError:
    return falcon.HTTPBadRequest(
        title="Malformed path",
        description="The path has a character or a percent-encoding that no URI can have.",
        code="malformed_path",
    )
