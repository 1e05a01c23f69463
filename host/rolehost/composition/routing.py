"""Routes that cannot stand beside each other.

The rules are those of Falcon's router, which replaces a route silently when its template is
added twice, and refuses two names for one path segment only when the server starts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rolehost.api.contributions import Route
from rolehost.composition.conflicts import clash
from rolehost.composition.model import Owned
from rolehost.composition.report import Report

_FIELD = re.compile(r"\{[^{}]*\}")

#: What a template may not have outside of its variables, because no path that a client sends
#: has it: escapes, characters that end a path or that some programs take for a slash, empty
#: segments, and those that clients resolve before they send a path.
_UNREACHABLE = re.compile(r"[%?#\\\s\x00-\x1f\x7f]|//|/\.{1,2}(?=/|\Z)|(?<=.)/\Z")

#: Falcon's HTTP and WebDAV methods, and its websocket responder.
METHODS = (
    "CONNECT",
    "DELETE",
    "GET",
    "HEAD",
    "OPTIONS",
    "PATCH",
    "POST",
    "PUT",
    "QUERY",
    "TRACE",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LOCK",
    "MKCOL",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "REPORT",
    "UNCHECKIN",
    "UNLOCK",
    "UPDATE",
    "WEBSOCKET",
)


def responders(route: Route) -> dict[str, str]:
    """Return method → name of the resource's responder for a route."""
    suffix = f"_{route.suffix}" if route.suffix else ""
    names = {method: f"on_{method.lower()}{suffix}" for method in METHODS}
    return {
        method: name
        for method, name in names.items()
        if callable(getattr(route.resource, name, None))
    }


def check(routes: Sequence[Owned[Route]], report: Report) -> None:
    """Report routes that clash, and routes that could never answer."""
    for owned in routes:
        _check_one(owned, report)
    _duplicates(routes, report)
    _variables(routes, report)


def _check_one(owned: Owned[Route], report: Report) -> None:
    route = owned.value
    if not route.path.startswith("/"):
        report.add(
            "route-path",
            owned.site,
            f"the path {route.path!r} does not begin with a slash",
            who=report.whose([owned.plugin]),
            expected="a template such as /things/{thing_id}",
            got=route.path or "(empty)",
            fix=f"write /{route.path}",
        )
    else:
        _check_spelling(owned, report)
    if not responders(route):
        suffix = f"_{route.suffix}" if route.suffix else ""
        report.add(
            "route-without-responder",
            owned.site,
            f"nothing would answer {route.path}",
            who=report.whose([owned.plugin]),
            expected=f"a resource with on_get{suffix}, on_post{suffix} or the like",
            got=f"{type(route.resource).__name__} without any",
            fix="add a responder, or correct the suffix",
        )


def _check_spelling(owned: Owned[Route], report: Report) -> None:
    path = owned.value.path
    found = _UNREACHABLE.search(_FIELD.sub("{}", path))
    if found is None:
        return
    fix = "write the segments as they are when decoded, none of them empty, '.' or '..'"
    if found.start() > 0 and found[0] == "/":
        fix = f"write {path.rstrip('/')} with trailing_slash=True, which takes both"
    report.add(
        "route-path",
        owned.site,
        f"no request would reach the path {path!r}",
        who=report.whose([owned.plugin]),
        expected="segments in their one spelling, such as /things/{thing_id}",
        got=repr(found[0]),
        fix=fix,
    )


def _duplicates(routes: Sequence[Owned[Route]], report: Report) -> None:
    claimed: dict[tuple[str, str], list[Owned[Route]]] = {}
    for owned in routes:
        template = _FIELD.sub("{}", owned.value.path)
        for method in responders(owned.value):
            claimed.setdefault((template, method), []).append(owned)
    # Methods that the same routes claim are one mistake.
    together: dict[tuple[int, ...], list[tuple[str, str]]] = {}
    for key, sites in claimed.items():
        if len(sites) > 1:
            together.setdefault(tuple(id(owned) for owned in sites), []).append(key)
    for keys in together.values():
        sites = claimed[keys[0]]
        methods = ", ".join(method for _, method in keys)
        clash(report, "duplicate-route", f"{methods} {sites[0].value.path}", sites)


def _variables(routes: Sequence[Owned[Route]], report: Report) -> None:
    """Report segments of one place that differ only in the name of their variables."""
    seen: dict[tuple[str, ...], dict[str, Owned[Route]]] = {}
    for owned in routes:
        segments = owned.value.path.strip("/").split("/")
        for depth, segment in enumerate(segments):
            if "{" in segment:
                place = (*segments[:depth], _FIELD.sub("{}", segment))
                seen.setdefault(place, {}).setdefault(segment, owned)
    for place, variants in seen.items():
        if len(variants) > 1:
            sites = list(variants.values())
            report.add(
                "route-variables",
                "; ".join(owned.site for owned in sites),
                f"/{'/'.join(place)} has variables of different names",
                who=report.whose(owned.plugin for owned in sites),
                expected="one name for the variable of one path segment",
                got=", ".join(
                    f"{segment} in {owned.value.path} of {owned.plugin}"
                    for segment, owned in variants.items()
                ),
                fix="give the variable the same name in all of these routes",
            )
