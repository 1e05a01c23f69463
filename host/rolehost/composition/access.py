"""The protection of each route, decided once for a composition.

A route without protection admits local requests only, and the deployment may bind only loopback
addresses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from rolehost.api.contributions import Authentication, Route
from rolehost.composition.model import Contributions, Owned
from rolehost.composition.problems import Problems
from rolehost.deployment import HttpSettings
from rolehost.loopback import binds_locally, is_address

#: The protection of a route. ``open``: the route declares that it needs no authentication.
#: ``plugin``: the authentication of its plugin. ``token``: ``[http] token``. ``local``: only local
#: programs may send requests. ``proxy``, ``none``: the value of ``[http] authentication``.
Access = Literal["open", "plugin", "token", "local", "proxy", "none"]


def access_of(
    owned: Owned[Route],
    authentications: Mapping[str, Owned[Authentication]],
    http: HttpSettings,
) -> Access:
    """Return the protection of a route."""
    if owned.value.open:
        return "open"
    if owned.plugin in authentications:
        return "plugin"
    if http.token:
        return "token"
    return "local" if http.authentication == "required" else http.authentication


def check(contributions: Contributions, problems: Problems) -> Mapping[str, Owned[Authentication]]:
    """Report wrong authentications and unprotected routes; return authentications by plugin."""
    authentications: dict[str, Owned[Authentication]] = {}
    for owned in contributions.of(Authentication):
        other = authentications.setdefault(owned.plugin, owned)
        if other is not owned:
            problems.about([other, owned], "several-authentications", plugin=owned.plugin)
    for route in contributions.of(Route):
        reason = route.value.open
        if not isinstance(reason, str) or (reason and not reason.strip()):
            problems.about(route, "route-open", path=route.value.path, got=reason)
    _check_bind(contributions.of(Route), authentications, problems)
    return authentications


def _check_bind(
    routes: Sequence[Owned[Route]],
    authentications: Mapping[str, Owned[Authentication]],
    problems: Problems,
) -> None:
    http = problems.deployment.host.http
    if not is_address(http.bind):
        problems.add("invalid-bind", problems.at("http.bind"), bind=http.bind or "(empty)")
        return
    if binds_locally(http.bind):
        return
    unprotected = [owned for owned in routes if access_of(owned, authentications, http) == "local"]
    if unprotected:
        # The address may come from a reference, so the message does not repeat it.
        where = problems.at("http.bind")
        problems.add("unauthenticated-routes", where, routes=_named(unprotected))


def _named(routes: Sequence[Owned[Route]]) -> str:
    by_plugin: dict[str, list[str]] = {}
    for owned in routes:
        by_plugin.setdefault(owned.plugin, []).append(owned.value.path)
    named = []
    for plugin, paths in by_plugin.items():
        more = f" and {len(paths) - 2} more" if len(paths) > 2 else ""
        named.append(f"{', '.join(paths[:2])}{more} of {plugin}")
    return "; ".join(named)
