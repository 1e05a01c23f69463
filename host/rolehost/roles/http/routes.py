"""The router: which route a request has, decided once from its path as it was sent.

:meth:`Router.match` decides before anything else reads the path, and leaves the route and what
depends on it (:class:`Rules`) in the ASGI scope: admission, body limit, error format, and the
template for logs and metrics. Falcon is given that result and no other.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import falcon
from falcon.routing import CompiledRouter

from rolehost.api.contributions import ErrorFormat, Route
from rolehost.api.services import Services
from rolehost.composition import responders
from rolehost.roles.http.access import Admission
from rolehost.roles.http.paths import ORDINARY, MalformedPath, decoded, spelling
from rolehost.roles.http.requests import FOUND, RULES
from rolehost.roles.http.responders import KEYED, Pool, keyed, on_threads

#: Key of the rules of methods that no route with the template has; a route that needs
#: authentication gives them where there is one.
OTHERS = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the host does with the requests of one route, or with those that have none.

    Attributes:
        template: the route's path; empty without a route.
        max_body: largest body, bytes.
        admit: raises if the request is not admitted; None admits every request.
        render: renders errors, as of :class:`~rolehost.api.ErrorFormat`; None: as RFC 9457 says.
        trailing_slash: one slash at the end of the path is accepted.
        spelled: matches the raw paths whose literal segments are spelled as in the template;
            None without a route.
    """

    template: str = ""
    max_body: int
    admit: Admission | None = None
    render: Callable[[int, str, Any, str], tuple[str, bytes]] | None = None
    trailing_slash: bool = False
    spelled: re.Pattern[bytes] | None = None


class Part(CompiledRouter):
    """Maps methods to responders: asynchronous ones untouched, synchronous ones on threads."""

    def __init__(self, pool: Pool, services: Services) -> None:
        super().__init__()
        self._pool = pool
        self._services = services

    def map_http_methods(self, resource: object, **kwargs: Any) -> Any:
        """Map the responders of a route.

        ``route`` among the keywords is its :class:`~rolehost.api.Route`; ``responders`` has
        those of other routes with the same template, and is given these too.
        """
        route: Route = kwargs["route"]
        together: dict[str, Any] = kwargs["responders"]
        for method, responder in super().map_http_methods(resource, **kwargs).items():
            together[method] = self._responder(method, responder, route)
        return dict(together)

    def _responder(self, method: str, responder: Any, route: Route) -> Any:
        if inspect.iscoroutinefunction(responder):
            return responder
        if route.idempotent and method in KEYED:
            responder = keyed(responder, self._services)
        return on_threads(responder, self._pool)


class Router(Part):
    """Finds the part by the first segment, so that no plugin's routes cost another's requests.

    What Falcon compiles compares a segment with one sibling after the other, which makes the
    last of many plugins pay for all before it. Templates that begin with a variable are in the
    router itself; as in Falcon, they have what no literal one takes.

    Args:
        pool: runs synchronous responders.
        services: the services of the process.
        max_body: largest body of a route that sets no limit, and where there is no route; bytes.
        formats: error formats of the composition.
        elsewhere: makes the answer where no route matches; None: 404.
    """

    def __init__(
        self,
        pool: Pool,
        services: Services,
        *,
        max_body: int,
        formats: Sequence[ErrorFormat] = (),
        elsewhere: Callable[[], falcon.HTTPError] | None = None,
    ) -> None:
        super().__init__(pool, services)
        self._parts: dict[str, Part] = {}
        self._responders: dict[str, dict[str, Any]] = {}
        self._rules: dict[str, dict[str, Rules]] = {}
        self._max_body = max_body
        self._formats = sorted(formats, key=lambda each: len(each.prefix), reverse=True)
        self._elsewhere = elsewhere

    def add_route(self, uri_template: str, resource: object, **kwargs: Any) -> None:
        """Add a route to the part of its first segment; raises what Falcon raises.

        Routes with the same template share it by their methods.

        ``route`` among the keywords is its :class:`~rolehost.api.Route`, ``admit`` the
        admission to it (:mod:`rolehost.roles.http.access`).
        """
        route: Route = kwargs["route"]
        kwargs["responders"] = self._responders.setdefault(uri_template, {})
        rules = Rules(
            template=uri_template,
            max_body=self._max_body if route.max_body is None else route.max_body,
            admit=kwargs["admit"],
            render=self._render_below(uri_template),
            trailing_slash=route.trailing_slash,
            spelled=spelling(uri_template),
        )
        first = uri_template.lstrip("/").partition("/")[0]  # as Falcon splits a path
        if "{" in first:
            super().add_route(uri_template, resource, **kwargs)
        else:
            part = self._parts.get(first) or Part(self._pool, self._services)
            part.add_route(uri_template, resource, **kwargs)
            self._parts[first] = part
        by_method = self._rules.setdefault(uri_template, {})
        by_method.update(dict.fromkeys(responders(route), rules))
        if by_method.get(OTHERS) is None or by_method[OTHERS].admit is None:
            by_method[OTHERS] = rules

    def match(self, scope: dict[str, Any]) -> None:
        """Decide which route a request has, and leave the result in its scope.

        ``path`` of the scope becomes the one spelling of the path: decoded, without the slash at
        its end that the route accepts.
        """
        raw: bytes = scope.get("raw_path") or b""
        # PERF: on the way of every request.
        if ORDINARY.fullmatch(raw):
            path = raw.decode("ascii")
            found = self.lookup(path)
            if found is not None:
                scope["path"] = path
                scope[FOUND] = found
                scope[RULES] = self._rules_of(found[3], scope)
                return
        self._match_any(raw, scope)

    def _rules_of(self, template: str, scope: dict[str, Any]) -> Rules:
        by_method = self._rules[template]
        return by_method.get(scope.get("method", "WEBSOCKET")) or by_method[OTHERS]

    def _match_any(self, raw: bytes, scope: dict[str, Any]) -> None:
        """Decide for any path: one with an escape or a slash at its end, or without a route."""
        scope[FOUND] = None
        try:
            path = decoded(raw)
        except MalformedPath:
            scope[RULES] = self._without_route(raw, _malformed)
            return
        if path is not None:
            slash = path.endswith("/") and path != "/"
            path = path[:-1] if slash else path
            found = self.lookup(path)
            if found is not None:
                rules = self._rules_of(found[3], scope)
                assert rules.spelled is not None
                if rules.spelled.fullmatch(raw) and (rules.trailing_slash or not slash):
                    scope["path"] = path
                    scope[FOUND] = found
                    scope[RULES] = rules
                    return
        scope[RULES] = self._without_route(raw, self._elsewhere)

    def find(self, _uri: str, req: Any = None) -> Any:
        """Hand Falcon the route that was matched, if the request is admitted to it.

        Falcon asks after the middleware's ``process_request`` and before all else of a route,
        for HTTP and WebSockets.

        Raises:
            falcon.HTTPError: the request is not admitted.
        """
        scope = req.scope
        rules: Rules = scope[RULES]
        if rules.admit is not None:
            rules.admit(req)
        return scope[FOUND]

    def lookup(self, path: str) -> Any:
        """Return resource, responders, variables and template of a decoded path, or None."""
        part = self._parts.get(path[1:].partition("/")[0])
        found = part.find(path) if part is not None else None
        return super().find(path) if found is None else found

    def compile(self) -> None:
        """Compile every part now; Falcon does it at the first request to each."""
        for part in self._parts.values():
            part.find("")
        super().find("")

    @property
    def smallest_body(self) -> int:
        """The smallest limit of any route, bytes."""
        limits = [rules.max_body for each in self._rules.values() for rules in each.values()]
        return min([self._max_body, *limits])

    def _without_route(self, raw: bytes, answer: Callable[[], falcon.HTTPError] | None) -> Rules:
        def refuse(_req: Any) -> None:
            if answer is not None:
                raise answer()

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
