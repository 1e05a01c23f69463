"""Who may use each route, decided once for a composition.

A route is open because it says so, is protected by the authentication of its plugin or by
``[http] token``, or is left to what ``[http] authentication`` says. Where none of these protects
a route, the deployment may bind loopback addresses alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from rolehost.api.contributions import Authentication, Route
from rolehost.composition.declare import Contributions
from rolehost.composition.model import Owned
from rolehost.composition.report import Report
from rolehost.deployment import HttpSettings
from rolehost.loopback import binds_locally, is_address

#: What protects a route. ``open``: nothing, as the route itself says. ``plugin``: the
#: authentication of its plugin. ``token``: ``[http] token``. ``local``: requests of this
#: machine's programs alone. ``proxy`` and ``none``: ``[http] authentication`` says so.
Access = Literal["open", "plugin", "token", "local", "proxy", "none"]


def access_of(
    owned: Owned[Route],
    authentications: Mapping[str, Owned[Authentication]],
    http: HttpSettings,
) -> Access:
    """Return what protects a route."""
    if owned.value.open:
        return "open"
    if owned.plugin in authentications:
        return "plugin"
    if http.token:
        return "token"
    return "local" if http.authentication == "required" else http.authentication


def check(contributions: Contributions, report: Report) -> Mapping[str, Owned[Authentication]]:
    """Report mistakes of authentication, and routes that everybody could use.

    Returns:
        The authentication of each plugin that gives one, by its name.
    """
    given: dict[str, Owned[Authentication]] = {}
    for owned in contributions.of(Authentication):
        _check_one(owned, given.get(owned.plugin), report)
        given.setdefault(owned.plugin, owned)
    for route in contributions.of(Route):
        why = route.value.open
        if not isinstance(why, str) or (why and not why.strip()):
            report.add(
                "route-open",
                route.site,
                f"the route {route.value.path} does not say why it is open",
                who=report.whose([route.plugin]),
                expected="a few words, shown to the operator",
                got=repr(why),
                fix='write open="probes send no credentials", or leave it out',
            )
    _check_bind(contributions.of(Route), given, report)
    return given


def _check_one(
    owned: Owned[Authentication], other: Owned[Authentication] | None, report: Report
) -> None:
    if other is not None:
        report.add(
            "several-authentications",
            f"{other.site}; {owned.site}",
            f"the plugin {owned.plugin} gives more than one authentication",
            expected="one, which decides for all routes of the plugin",
            got="at least two",
            fix="give one whose function asks the others",
            who=report.whose([owned.plugin]),
        )


def _check_bind(
    routes: Sequence[Owned[Route]],
    given: Mapping[str, Owned[Authentication]],
    report: Report,
) -> None:
    http = report.deployment.host.http
    if binds_locally(http.bind) or not is_address(http.bind):
        return  # what is no address is another mistake
    unprotected = [owned for owned in routes if access_of(owned, given, http) == "local"]
    if not unprotected:
        return
    # The address itself may come from a reference, so it is not shown.
    report.add(
        "unauthenticated-routes",
        report.at("http.bind"),
        "everybody who reaches this address could use routes that nothing protects",
        expected="a loopback address (127.0.0.1, [::1], localhost), or authentication",
        got="another address, no [http] token, and routes without authentication:"
        f" {_named(unprotected)}",
        fix='write token = "${ROLEHOST_TOKEN}" in [http] and set that variable; where a proxy'
        " authenticates every client and nobody reaches the routes past it, say so:"
        ' authentication = "proxy"; where everybody may use them: authentication = "none"',
    )


def _named(routes: Sequence[Owned[Route]]) -> str:
    """Name the routes by plugin, a few of each."""
    by_plugin: dict[str, list[str]] = {}
    for owned in routes:
        by_plugin.setdefault(owned.plugin, []).append(owned.value.path)
    named = []
    for plugin, paths in by_plugin.items():
        more = f" and {len(paths) - 2} more" if len(paths) > 2 else ""
        named.append(f"{', '.join(paths[:2])}{more} of {plugin}")
    return "; ".join(named)
