"""Compositions made in memory, for tests of the role alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rolehost.api import Authentication, ErrorFormat, Middleware, PluginInfo, Route
from rolehost.api.hooks import GROUP
from rolehost.composition.model import Composition, Owned, Plugin
from rolehost.deployment.model import (
    Deployment,
    HostSettings,
    HttpSettings,
    LogSettings,
    StorageSettings,
)

assert GROUP == "rolehost"


def owned(values: Sequence[Any]) -> tuple[Owned[Any], ...]:
    return tuple(Owned(value, "sample", "sample:1") for value in values)


def compose(
    routes: Sequence[Route] = (),
    *,
    module: Any = None,
    formats: Sequence[ErrorFormat] = (),
    middleware: Sequence[Middleware] = (),
    backends: dict[Any, Any] | None = None,
    optional: Sequence[Any] = (),
    authentications: Sequence[Authentication] = (),
    **http: Any,
) -> Composition:
    """Return a composition without access rules; test_access.py tests those."""
    host = HostSettings(
        http=HttpSettings(**{"authentication": "none", **http}),
        log=LogSettings(format="json"),
        storage=StorageSettings(optional=tuple(optional)),
    )
    plugin = Plugin(
        name="sample",
        distribution="sample",
        version="1",
        info=PluginInfo(api=1),
        settings=None,
        module=module or object(),
    )
    return Composition(
        deployment=Deployment(
            name="test", path=None, plugins=("sample",), host=host, sections={}, origins={}
        ),
        plugins=(plugin,),
        backends={
            kind: Owned(value, "sample", "sample:1") for kind, value in (backends or {}).items()
        },
        migrations=(),
        routes=owned(routes),
        error_formats=owned(formats),
        authentications={each.plugin: each for each in owned(authentications)},
        middleware=owned(middleware),
        job_middleware=(),
        actors={},
        handlers=(),
        schedules=(),
        checks=(),
        commands=(),
        roles=("http",),
    )
