"""Seeded errors: times, connections and roles that do not fit together."""

from __future__ import annotations

from tests.proofs.fleet_check_case import (
    FOUR,
    Case,
)
from tests.proofs.fleet_check_plugins import (
    actor,
    plugin,
)

LIMITS = (
    Case(
        name="the orchestrator kills before the supervisor does",
        code="orchestrator-grace",
        whose=("worker",),
        settings={"worker": {"fleet": {"grace": 30.0}}},
        fix="lengthen the orchestrator's grace period",
    ),
    Case(
        name="the roles stop one after the other, and the last has no time left",
        code="shutdown-budget",
        whose=("worker",),
        settings={"worker": {"http": {"shutdown_delay": 8.0}}},
        fix="lengthen supervisor.grace",
        got="30 seconds",
    ),
    Case(
        name="consumers are taken for dead while they drain",
        code="poll-interval",
        whose=("events",),
        settings={"events": {"kafka": {"poll_interval": 20.0}}},
        fix="lengthen [kafka] poll_interval",
    ),
    Case(
        name="a relay waits longer than its lease holds",
        code="publish-timeout",
        whose=("events",),
        settings={"events": {"kafka": {"publish_timeout": 45.0}}},
        fix="shorten [kafka] publish_timeout",
    ),
    Case(
        name="an ephemeral job may run longer than a worker waits",
        code="time-limit-over-grace",
        whose=("worker",),
        plugins={"worker": ["mail"]},
        extra=lambda: {"mail": plugin(actor("mail.send", queue="mail", durable=False))},
        fix="shorten its time_limit",
        warning=True,
    ),
    Case(
        name="more workers than the database has connections",
        code="too-many-connections",
        whose=FOUR,
        settings={"worker": {"fleet": {"replicas": 6}}},
        fix="lower replicas",
        got="6 replicas × 3 processes × 10 connections = 180",
    ),
    Case(
        name="a rollout needs more connections than there are",
        code="too-many-connections",
        whose=FOUR,
        settings={"base": {"fleet": {"surge": 1}}},
        fix="lower replicas",
        got="1 in a rollout",
    ),
    Case(
        name="more consumers than a topic has partitions",
        code="consumers-idle",
        whose=("events",),
        settings={
            "events": {"consumer": {"processes": 4}, "fleet": {"replicas": 4}},
            "base": {"fleet": {"database_connections": 400}},
        },
        fix="lower replicas or [consumer] processes",
        got="4 × 4",
        warning=True,
    ),
    Case(
        name="what is outside the fleet is misspelt",
        code="external-unknown",
        whose=("events",),
        settings={"events": {"fleet": {"external": ["topic:webhoks"]}}},
        fix='did you mean "topic:webhooks"?',
        warning=True,
    ),
    Case(
        name="threads wait for each other's connections",
        code="pool-too-small",
        whose=("worker",),
        settings={"worker": {"worker": {"threads": 16}}},
        fix="enlarge the pool of [postgres]",
        warning=True,
    ),
    Case(
        name="instances are said to run a role that nothing makes them",
        code="role-missing",
        whose=("api",),
        settings={"api": {"fleet": {"roles": ["http", "worker"]}}},
        fix="remove worker from [fleet] roles",
    ),
    Case(
        name="instances without anything to run",
        code="nothing-to-run",
        whose=("second",),
        fleet=(*FOUR, "second"),
        copies={"second": "api"},
        settings={"second": {"fleet": {"roles": []}}},
        fix="set replicas to 0",
    ),
    Case(
        name="two deployments of one name",
        code="deployment-twice",
        whose=("api", "events"),
        settings={"events": {"deployment": {"name": "api"}}},
        fix="set [deployment] name",
    ),
    Case(
        name="the deployments say different things of the server",
        code="fleet-differs",
        whose=FOUR,
        settings={"events": {"fleet": {"database_connections": 400}}},
        fix="set it once",
    ),
    Case(
        name="workers of one queue have different settings",
        code="settings-differ",
        whose=("worker", "more"),
        fleet=(*FOUR, "more"),
        copies={"more": "worker"},
        settings={"more": {"webhooks-delivery": {"allow_private": True}}},
        fix="in a file that all of them include",
        got="more.toml: True",
        warning=True,
    ),
)
