"""Seeded errors: the deployments of a fleet disagree."""

from __future__ import annotations

from rolehost.api import Command, Metric, Migrations, Route, Schedule

from tests.proofs.fleet_check_case import (
    FOUR,
    Case,
)
from tests.proofs.fleet_check_plugins import (
    Page,
    Paid,
    Placed,
    actor,
    counter,
    handler,
    plugin,
    work_for,
)

DIFFERENCES = (
    Case(
        name="two plugins claim to own the same tables",
        code="migrations-differ",
        whose=FOUR,
        plugins={name: ["ledger" if name == "events" else "shop"] for name in FOUR},
        extra=lambda: {
            "ledger": plugin(Migrations(package="rolehost_embedded.migrations", owner="books")),
            "shop": plugin(Migrations(package="rolehost_webhooks.migrations.books", owner="books")),
        },
        fix="enable only one of the plugins",
    ),
    Case(
        name="one deployment is not in production",
        code="environment-differs",
        whose=FOUR,
        settings={"events": {"deployment": {"environment": "development"}}},
        fix="set [deployment] environment",
        got="events.toml: development",
    ),
    Case(
        name="the outbox is divided differently",
        code="delivery-differs",
        whose=FOUR,
        settings={"worker": {"delivery": {"relay_shards": 8}}},
        fix="in a file that all of them include",
        got="worker.toml: 8",
    ),
    Case(
        name="duplicates are recognised for different times",
        code="delivery-differs",
        whose=FOUR,
        settings={"events": {"delivery": {"keep_inbox": 3600.0}}},
        fix="in a file that all of them include",
    ),
    Case(
        name="two schedulers with leases of different length",
        code="scheduler-differs",
        whose=("scheduler", "standby"),
        fleet=(*FOUR, "standby"),
        copies={"standby": "scheduler"},
        settings={"standby": {"scheduler": {"lease": 60.0}}},
        fix="in a file that all of them include",
    ),
    Case(
        name="not every worker of a queue has all of its actors",
        code="queue-differs",
        whose=("worker", "more"),
        fleet=(*FOUR, "more"),
        copies={"more": "worker"},
        plugins={"worker": ["mail"]},
        extra=lambda: {"mail": plugin(actor("mail.send", queue="webhooks"))},
        fix="enable the plugins of the missing actors there",
        got="more.toml lacks mail.send",
    ),
    Case(
        name="workers of one queue have different limits",
        code="limits-differ",
        whose=("worker", "more"),
        fleet=(*FOUR, "more"),
        copies={"more": "worker"},
        settings={"more": {'actors."webhooks.deliver"': {"partition_concurrency": 8}}},
        warning=True,
        fix='write the same [actors."webhooks.deliver"] in a file that all of them include',
        got="Limits(concurrency=8",
    ),
    Case(
        name="members of one consumer group read different topics",
        code="group-differs",
        whose=("events", "more"),
        fleet=(*FOUR, "more"),
        copies={"more": "events"},
        settings={
            "more": {
                "webhooks-ingest": {"topic": "hooks"},
                "fleet": {"external": ["topic:webhooks", "topic:hooks"]},
            },
            "base": {"webhooks-ingest": {"application": "app"}},
        },
        fix="enable the same plugins of this group",
        got="hooks by webhooks.ingest",
    ),
    Case(
        name="two plugins mean something else by one actor",
        code="actor-differs",
        whose=("worker", "scheduler"),
        plugins={"worker": ["mail"], "scheduler": ["post"]},
        extra=lambda: {
            "mail": plugin(actor("letters.send", queue="mail")),
            "post": plugin(actor("letters.send", queue="mail", fn=work_for)),
        },
        fix="rename the actor in one of them",
    ),
    Case(
        name="a schedule ticks differently at each scheduler",
        code="schedule-differs",
        whose=("scheduler", "standby"),
        fleet=(*FOUR, "standby"),
        copies={"standby": "scheduler"},
        plugins={"scheduler": ["night"], "standby": ["day"]},
        extra=lambda: {
            "night": plugin(
                Schedule(name="clean", actor="webhooks.retention", cron="0 3 * * *"),
                enqueues=("webhooks.retention",),
            ),
            "day": plugin(
                Schedule(name="clean", actor="webhooks.retention", cron="0 15 * * *"),
                enqueues=("webhooks.retention",),
            ),
        },
        fix="same settings in all of them",
    ),
    Case(
        name="a command does something else in each deployment",
        code="command-differs",
        whose=("api", "worker"),
        plugins={"api": ["shop"], "worker": ["mail"]},
        extra=lambda: {
            "shop": plugin(Command(name="report", target="shop:report", summary="")),
            "mail": plugin(Command(name="report", target="mail:report", summary="")),
        },
        fix="rename the command",
        warning=True,
    ),
    Case(
        name="a path is answered by two plugins",
        code="route-differs",
        whose=("api", "worker"),
        plugins={"api": ["shop"], "worker": ["mail"]},
        extra=lambda: {
            "shop": plugin(Route("/status", Page())),
            "mail": plugin(Route("/status", Page())),
        },
        fix="give one of them another path",
        warning=True,
    ),
    Case(
        name="a metric has other labels in each deployment",
        code="metric-differs",
        whose=("api", "worker"),
        plugins={"api": ["shop"], "worker": ["mail"]},
        extra=lambda: {
            "shop": plugin(metrics=(counter("orders", "kind"),)),
            "mail": plugin(metrics=(counter("orders", "kind", "country"),)),
        },
        fix="rename the metric in one of the plugins",
        got="counter orders_total by kind, country, of mail",
        warning=True,
    ),
    Case(
        name="a gauge is named as the sample of a counter elsewhere",
        code="metric-differs",
        whose=("api", "worker"),
        plugins={"api": ["shop"], "worker": ["mail"]},
        extra=lambda: {
            "shop": plugin(metrics=(counter("orders"),)),
            "mail": plugin(metrics=(Metric(name="orders_total", kind="gauge", summary=""),)),
        },
        fix="rename the metric in one of the plugins",
        got="gauge orders_total, of mail",
        warning=True,
    ),
    Case(
        name="what is published cannot be read",
        code="payload-differs",
        whose=("worker", "events"),
        plugins={"worker": ["kafka", "shop"], "events": ["ledger"]},
        extra=lambda: {
            "shop": plugin(publishes=("orders",), payloads={"orders": Placed}),
            "ledger": plugin(handler("ledger.book", "orders", "ledger", payload=Paid)),
        },
        fix="new fields with a default",
        got="currency",
    ),
)
