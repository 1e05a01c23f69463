"""Fleets made from the real deployments, each with one error and the expected words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rolehost.api import Command, Metric, Migrations, Route, Schedule

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
from tests.proofs.kit import ROOT

#: The deployments of one fleet.
FOUR = ("api", "worker", "events", "scheduler")

#: The environment of the deployments: a token, which no check reads.
ENVIRON = {"ROLEHOST_WEBHOOKS_TOKEN": "checked", "ROLEHOST_OPERATOR_TOKEN": "checked"}

#: Plugins by name; a function, so that cases do not share plugins.
Plugins = Callable[[], Mapping[str, Any]]

OTHER_POSTGRES = "postgresql://rolehost:hunter2@db2.example/rolehost"
OTHER_REDIS = "redis://:hunter2@redis2.example:6379/0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One seeded error.

    Attributes:
        name: description of the change.
        code: the only code that must be found.
        whose: exactly the deployments that must be named.
        fix: words of the error's fix.
        got: words of the error's actual value.
        fleet: the deployments to check.
        copies: new deployment → the deployment to copy.
        settings: deployment → section → key → value.
        plugins: deployment → names to enable too; ``-name`` disables one.
        extra: the plugins with these names.
        warning: True if it is a warning.
    """

    name: str
    code: str
    whose: Sequence[str]
    fix: str
    got: str = ""
    fleet: Sequence[str] = FOUR
    copies: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    plugins: Mapping[str, Sequence[str]] = field(default_factory=dict)
    extra: Plugins = dict
    warning: bool = False

    def write(self, folder: Path) -> list[Path]:
        """Write the fleet into a folder and return its files."""
        for file in (ROOT / "deploy").glob("*.toml"):
            shutil.copy(file, folder)
        for name, original in self.copies.items():
            shutil.copy(folder / f"{original}.toml", folder / f"{name}.toml")
            put(folder / f"{name}.toml", "deployment", "name", name)
        for name, changes in self.plugins.items():
            enable(folder / f"{name}.toml", changes)
        for name, sections in self.settings.items():
            for section, values in sections.items():
                for key, value in values.items():
                    put(folder / f"{name}.toml", section, key, value)
        return [folder / f"{name}.toml" for name in self.fleet]


def put(file: Path, section: str, key: str, value: Any) -> None:
    """Set a value in a deployment file; each section occurs once."""
    lines = file.read_text("utf-8").splitlines()
    if f"[{section}]" not in lines:
        lines += ["", f"[{section}]"]
    begin = lines.index(f"[{section}]") + 1
    rest = [index for index in range(begin, len(lines)) if lines[index].startswith("[")]
    end = rest[0] if rest else len(lines)
    kept = [line for line in lines[begin:end] if not line.startswith(f"{key} =")]
    lines[begin:end] = [f"{key} = {json.dumps(value)}", *kept]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def enable(file: Path, changes: Sequence[str]) -> None:
    """Enable further plugins in a deployment file, or disable some."""
    text = file.read_text("utf-8")
    begin = text.index("plugins = [")
    end = text.index("]", begin) + 1
    names = [name.strip(' \n",') for name in text[begin + len("plugins = [") : end - 1].split(",")]
    names = [name for name in names if name and f"-{name}" not in changes]
    names += [name for name in changes if not name.startswith("-")]
    file.write_text(f"{text[:begin]}plugins = {json.dumps(names)}{text[end:]}", encoding="utf-8")


def _shop(**info: Any) -> Plugins:
    return lambda: {"shop": plugin(**info)}


CASES = (
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
        extra=_shop(enqueues=("webhooks.fanout",)),
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
