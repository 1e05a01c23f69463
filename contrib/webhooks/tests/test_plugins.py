"""What the plugins declare, by their settings."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from rolehost.api import (
    Authentication,
    DeclareContext,
    Migrations,
    Route,
    Secret,
    SettingRefused,
)
from rolehost.composition import compose
from rolehost.deployment import load
from rolehost_webhooks.plugins import api, delivery, ingest
from rolehost_webhooks.routes.table import RESOURCES
from rolehost_webhooks.settings import ApiSettings, DeliverySettings, IngestSettings


def context(settings: Any, environment: str = "development") -> DeclareContext:
    return DeclareContext(plugin="x", settings=settings, deployment="test", environment=environment)


def test_each_plugin_brings_the_same_tables_so_that_each_may_run_alone() -> None:
    assert api.rolehost_migrations() == delivery.rolehost_migrations()
    assert api.rolehost_migrations() == ingest.rolehost_migrations()
    (migrations,) = api.rolehost_migrations()
    assert isinstance(migrations, Migrations) and migrations.owner == "webhooks"


#: What load balancers ask, without a token.
PROBES = {"/api/v1/health", "/api/v1/health/ping"}


PROBES = {"/api/v1/health", "/api/v1/health/ping"}


def declared(settings: ApiSettings, environment: str = "development") -> tuple[bool, set[str]]:
    """Return whether there is an authentication, and the paths that are open."""
    given = api.rolehost_routes(context(settings, environment))
    opened = {each.path for each in given if isinstance(each, Route) and each.open}
    return any(isinstance(each, Authentication) for each in given), opened


def test_a_token_is_demanded_of_every_route_but_the_probes() -> None:
    for authentication in ("token", "proxy"):
        settings = ApiSettings(token=Secret("t"), authentication=authentication)
        assert declared(settings) == (True, PROBES)


def test_without_a_token_the_host_decides_unless_a_proxy_authenticates() -> None:
    for settings in OPEN:
        assert declared(settings) == (False, PROBES)
    by_token, opened = declared(ApiSettings(authentication="proxy"))
    assert not by_token and len(opened) == len(RESOURCES)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (ApiSettings(), "[http] decides"),
        (ApiSettings(token=Secret("")), "[http] decides"),
        (ApiSettings(authentication="proxy"), "a proxy"),
        (ApiSettings(token=Secret("t")), "a token is required"),
        (ApiSettings(token=Secret("t"), authentication="proxy"), "a token is required"),
    ],
)
def test_a_check_tells_whether_the_api_is_open(settings: ApiSettings, told: str) -> None:
    (check,) = api.rolehost_checks(context(settings))
    assert told in str(check.fn(None))


OPEN = [ApiSettings(), ApiSettings(token=Secret(""))]
CLOSED = [ApiSettings(token=Secret("t")), ApiSettings(authentication="proxy")]


@pytest.mark.parametrize("settings", OPEN)
def test_an_api_that_lets_everybody_in_is_refused_in_production(settings: ApiSettings) -> None:
    with pytest.raises(SettingRefused, match="would be open to all clients") as refused:
        api.rolehost_routes(context(settings, "production"))
    assert refused.value.setting == "token"


@pytest.mark.parametrize("settings", CLOSED)
def test_one_that_somebody_guards_is_not(settings: ApiSettings) -> None:
    assert api.rolehost_routes(context(settings, "production"))


@pytest.mark.parametrize("environment", ["development", "test"])
@pytest.mark.parametrize("settings", [*OPEN, *CLOSED])
def test_elsewhere_it_may_be_either(settings: ApiSettings, environment: str) -> None:
    assert api.rolehost_routes(context(settings, environment))


def test_the_schedule_of_the_settings_is_that_of_the_actor() -> None:
    by_default = {one.name: one for one in delivery.rolehost_actors(context(DeliverySettings()))}
    deliver = by_default["webhooks.deliver"]
    assert deliver.retry.attempts == 8
    assert sum(deliver.retry.delays) == 99_305  # 27.6 hours
    short = DeliverySettings(schedule=(1.0,), jitter=0.0)
    (changed,) = [
        one for one in delivery.rolehost_actors(context(short)) if one.name == "webhooks.deliver"
    ]
    assert (changed.retry.attempts, changed.retry.delays) == (2, (1.0,))


def test_the_topic_of_the_settings_is_that_of_the_handler() -> None:
    (handler,) = ingest.rolehost_handlers(context(IngestSettings(topic="other")))
    assert (handler.topic, handler.group) == ("other", "webhooks-ingest")


def test_the_topic_of_the_settings_may_be_published_to() -> None:
    environ = {"ROLEHOST__PLUGINS": "embedded,webhooks-ingest"}
    environ["ROLEHOST__WEBHOOKS_INGEST__TOPIC"] = "other"
    assert compose(load(None, environ=environ)).publishes == {"other"}


@pytest.mark.parametrize(
    ("plugin", "hook", "settings", "unwanted"),
    [
        ("api", "rolehost_routes", "ApiSettings", ["aiohttp", "standardwebhooks"]),
        ("ingest", "rolehost_handlers", "IngestSettings", ["falcon", "aiohttp"]),
        ("delivery", "rolehost_actors", "DeliverySettings", ["falcon", "aiohttp"]),
    ],
)
def test_a_plugin_imports_only_what_its_role_needs(
    plugin: str, hook: str, settings: str, unwanted: list[str]
) -> None:
    call = f"{hook}(DeclareContext(plugin='x', settings={settings}(), deployment='d'))"
    code = (
        "import sys\n"
        "from rolehost.api import DeclareContext\n"
        f"from rolehost_webhooks.plugins import {plugin}\n"
        "from rolehost_webhooks.settings import *\n"
        f"{plugin}.{call}\n"
        f"found = [name for name in {unwanted!r} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
