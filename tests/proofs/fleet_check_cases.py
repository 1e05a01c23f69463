"""Seeded errors: work without a process that runs it, and unsuitable engines."""

from __future__ import annotations

from rolehost.api import Migrations

from tests.proofs.fleet_check_case import (
    FOUR,
    OTHER_POSTGRES,
    OTHER_REDIS,
    Case,
    shop,
)
from tests.proofs.fleet_check_differences import DIFFERENCES
from tests.proofs.fleet_check_limits import LIMITS
from tests.proofs.fleet_check_plugins import (
    actor,
    handler,
    plugin,
)

WIRING = (
    Case(
        name="the workers' instances run no workers",
        code="actor-without-worker",
        whose=FOUR,
        settings={"worker": {"fleet": {"roles": ["http"]}}},
        fix="add worker to [fleet] roles of",
        got="does not run the role worker",
    ),
    Case(
        name="the workers are scaled down to nothing",
        code="actor-without-worker",
        whose=("api", "events", "scheduler"),
        settings={"worker": {"fleet": {"replicas": 0}}},
        fix="replicas of",
    ),
    Case(
        name="the deployment of workers was forgotten",
        code="actor-without-worker",
        whose=("api", "events", "scheduler"),
        fleet=("api", "events", "scheduler"),
        fix="add worker to [fleet] roles of",
    ),
    Case(
        name="a plugin enqueues what no plugin has",
        code="actor-without-worker",
        whose=("api",),
        plugins={"api": ["shop"]},
        extra=shop(enqueues=("webhooks.fanout",)),
        fix='did you mean "webhooks.fan_out"?',
        got="no deployment has it",
    ),
    Case(
        name="the workers take from another queue",
        code="actor-without-worker",
        whose=("api",),
        plugins={"api": ["shop"], "worker": ["mail"]},
        settings={"worker": {"worker": {"queues": ["webhooks"]}}},
        extra=lambda: {
            "shop": plugin(enqueues=("mail.send",)),
            "mail": plugin(actor("mail.send", queue="mail")),
        },
        fix='add "mail" to [worker] queues of',
        got="do not take from the queue mail",
    ),
    Case(
        name="outcomes are published and nobody reads them",
        code="topic-without-handler",
        whose=("worker", "scheduler"),
        plugins={"worker": ["kafka"], "scheduler": ["kafka"]},
        settings={"base": {"webhooks-delivery": {"outcomes": "deliveries"}}},
        fix='external = ["topic:deliveries"]',
    ),
    Case(
        name="the consumers' instances run no consumers",
        code="topic-without-handler",
        whose=("events",),
        settings={"events": {"fleet": {"roles": ["http"]}}},
        fix="add consumer to [fleet] roles of",
    ),
    Case(
        name="a handler's topic is misspelt",
        code="handler-without-publisher",
        whose=("events",),
        plugins={"events": ["ledger"]},
        extra=lambda: {"ledger": plugin(handler("ledger.book", "webhoks", "ledger"))},
        fix='did you mean "webhooks"?',
        warning=True,
    ),
    Case(
        name="the scheduler was forgotten",
        code="schedule-without-scheduler",
        whose=("worker",),
        fleet=("api", "worker", "events"),
        fix="add scheduler to [fleet] roles of",
    ),
    Case(
        name="the scheduler is scaled down to nothing",
        code="schedule-without-scheduler",
        whose=("worker", "scheduler"),
        settings={"scheduler": {"fleet": {"replicas": 0}}},
        fix="add scheduler to [fleet] roles of",
    ),
    Case(
        name="two schedulers with leases in different databases",
        code="schedulers-apart",
        whose=(*FOUR, "standby"),
        fleet=(*FOUR, "standby"),
        copies={"standby": "scheduler"},
        settings={
            "engines": {"postgres": {"url": "postgresql://rolehost@db1.example/rolehost"}},
            "standby": {"postgres": {"url": OTHER_POSTGRES}, "fleet": {"replicas": 1}},
        },
        fix="give [postgres] the same values",
        got="db2.example:5432/rolehost",
    ),
    Case(
        name="the API writes into another database",
        code="server-differs",
        whose=FOUR,
        settings={"api": {"postgres": {"url": OTHER_POSTGRES}}},
        fix="give [postgres] the same values",
        got="db2.example:5432/rolehost",
    ),
    Case(
        name="the workers wait at another Redis",
        code="server-differs",
        whose=FOUR,
        settings={"worker": {"redis": {"url": OTHER_REDIS}}},
        fix="give [redis] the same values",
        got="redis2.example:6379/0",
    ),
    Case(
        name="the workers keep their cache in another namespace",
        code="server-differs",
        whose=FOUR,
        settings={
            "engines": {"storage": {"cache": "memcached"}},
            "worker": {"memcached": {"namespace": "workers"}},
        },
        fix="give [memcached] the same values",
    ),
    Case(
        name="who publishes and who consumes are on different Kafkas",
        code="server-differs",
        whose=("worker", "scheduler", "events"),
        plugins={"worker": ["kafka"], "scheduler": ["kafka"]},
        settings={
            "base": {
                "webhooks-delivery": {"outcomes": "deliveries"},
                "fleet": {"external": ["topic:deliveries"]},
            },
            "events": {"kafka": {"servers": ["kafka2.example:9092"]}},
        },
        fix="give [kafka] the same values",
        got="kafka2.example:9092",
    ),
    Case(
        name="the workers wait at PostgreSQL, all others wake them at Redis",
        code="backend-differs",
        whose=FOUR,
        settings={"worker": {"storage": {"queue": "postgres"}}},
        fix="set [storage] queue",
        got="worker.toml: postgres",
    ),
    Case(
        name="one deployment has another cache",
        code="backend-differs",
        whose=FOUR,
        settings={"events": {"storage": {"cache": "memcached"}}},
        fix="set [storage] cache",
    ),
    Case(
        name="everything in one file, and two of it",
        code="one-machine-backend",
        whose=("embedded",),
        fleet=("embedded",),
        settings={"embedded": {"fleet": {"replicas": 2}}},
        fix="choose other backends for database, cache, queue and stream",
    ),
    Case(
        name="a rollout puts a second pod beside the one with the database file",
        code="one-machine-backend",
        whose=("embedded",),
        fleet=("embedded",),
        settings={"embedded": {"fleet": {"surge": 1}}},
        fix="choose other backends",
        got="1 instance and 1 in a rollout",
    ),
    Case(
        name="two deployments with one database file, on who knows which machines",
        code="one-machine-backend",
        whose=("embedded", "second"),
        fleet=("embedded", "second"),
        copies={"second": "embedded"},
        fix="set [fleet] machine",
    ),
    Case(
        name="two machines, each with a database of its own",
        code="loopback-server",
        whose=FOUR,
        settings={
            "engines": {
                "redis": {"url": "redis://redis.example"},
                "kafka": {"servers": ["kafka.example"]},
            },
            "base": {"fleet": {"machine": "one"}},
            "worker": {"fleet": {"machine": "two"}},
        },
        fix="set an address in [postgres]",
        got="127.0.0.1:5432/rolehost",
    ),
    Case(
        name="two deployments on one machine want one port",
        code="bind-taken",
        whose=("api", "events"),
        settings={
            "base": {"fleet": {"machine": "one"}},
            "events": {"http": {"bind": "127.0.0.1:8000"}},
        },
        fix="set a different http.bind in each",
    ),
    Case(
        name="two instances on one machine want one port",
        code="bind-taken",
        whose=("api",),
        settings={"base": {"fleet": {"machine": "one"}}, "api": {"fleet": {"replicas": 2}}},
        fix="set a different http.bind in each",
        got="2 × 127.0.0.1:8000",
    ),
    Case(
        name="everybody only checks migrations",
        code="migrations-without-owner",
        whose=FOUR,
        settings={"base": {"deployment": {"migrate": "check"}}},
        fix='[fleet] migrations = "job"',
    ),
    Case(
        name="a plugin's tables are used where nobody makes them",
        code="migrations-without-owner",
        whose=("events",),
        plugins={"events": ["ledger"]},
        settings={"events": {"deployment": {"migrate": "check"}}},
        extra=lambda: {"ledger": plugin(Migrations(package="rolehost_embedded.migrations"))},
        fix="enable ledger there",
    ),
)

#: All seeded errors.
CASES = (*WIRING, *DIFFERENCES, *LIMITS)
