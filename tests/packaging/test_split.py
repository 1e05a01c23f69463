"""The four deployments of ``deploy/`` together do the work of the embedded one.

Once without a server beside them, once on engines but without Redis: by the variables that
docs/deployment.md names and nothing else. As they are written: ``scripts/prove fleet-real``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest

from tests.docs.author import call
from tests.proofs.kit import ROOT
from tests.proofs.receiver import receiving
from tests.proofs.running import READY, free_port, running

ROLEHOST = Path(sys.prefix) / "bin" / "rolehost"

#: Deployment file → its plugins but storage.
FLEET = {
    "api": "ops,openapi,webhooks-api",
    "worker": "ops,webhooks-delivery",
    "events": "ops,webhooks-ingest",
    "scheduler": "ops,webhooks-delivery",
}
KINDS = ("DATABASE", "QUEUE", "CACHE", "STREAM")


class Fleet(NamedTuple):
    """The address of each deployment, their variables, and the plugins that offer storage."""

    urls: dict[str, str]
    environ: dict[str, str]
    storage: str


@pytest.fixture(
    scope="module", params=["embedded", pytest.param("without Redis", marks=pytest.mark.engine)]
)
def variables(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, str], str]]:
    """The variables of the engines, and the plugins that offer storage."""
    if request.param == "embedded":
        path = tmp_path_factory.mktemp("fleet") / "fleet.db"
        chosen = {f"ROLEHOST__STORAGE__{kind}": "embedded" for kind in KINDS}
        yield {"ROLEHOST__EMBEDDED__PATH": str(path)} | chosen, "embedded"
        return
    url = {name: request.getfixturevalue(f"{name}_url") for name in ("postgres", "kafka")}
    memcached = request.getfixturevalue("memcached_url")
    mark = f"split{uuid4().hex[:10]}"
    with database(url["postgres"], mark) as own:
        yield (
            {
                "ROLEHOST_POSTGRES_URL": own,
                "ROLEHOST_MEMCACHED_SERVERS": memcached.removeprefix("memcached://"),
                "ROLEHOST_KAFKA_SERVERS": url["kafka"].removeprefix("kafka://"),
                "ROLEHOST__STORAGE__QUEUE": "postgres",
                "ROLEHOST__STORAGE__CACHE": "memcached",
                "ROLEHOST__MEMCACHED__NAMESPACE": mark,
                "ROLEHOST__KAFKA__PREFIX": f"{mark}.",
                "ROLEHOST__KAFKA__CLIENT": "confluent"
                if find_spec("confluent_kafka")
                else "kafka-python",
            },
            "postgres,memcached,kafka",
        )


@contextmanager
def database(url: str, name: str) -> Iterator[str]:
    """Make a database on the server that tests share; yield its URL, and drop it at the end."""
    import psycopg2

    connection = psycopg2.connect(url)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"CREATE DATABASE {name}")
    yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


@pytest.fixture(scope="module")
def fleet(
    variables: tuple[dict[str, str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """The four deployments, running."""
    environ, storage = variables
    environ = environ | {
        "ROLEHOST__HTTP__SHUTDOWN_DELAY": "0",
        "ROLEHOST__WEBHOOKS_DELIVERY__ALLOW_PRIVATE": "true",
        # Only these tests reach the processes that they start.
        "ROLEHOST__WEBHOOKS_API__AUTHENTICATION": "proxy",
    }
    with ExitStack() as stack:
        urls, hosts = {}, []
        for name, plugins in FLEET.items():
            address = f"127.0.0.1:{free_port()}"
            own = environ | {"ROLEHOST__HTTP__BIND": address}
            if storage == "embedded":  # not among the plugins of the files
                own["ROLEHOST__PLUGINS"] = f"{storage},{plugins}"
            command = [ROLEHOST, "run", ROOT / f"deploy/{name}.toml"]
            folder = tmp_path_factory.mktemp(name)
            hosts.append(stack.enter_context(running(command, folder, own)))
            urls[name] = f"http://{address}"
        for host in hosts:
            host.until(READY)
        yield Fleet(urls, environ, storage)


def test_messages_of_api_and_events_are_delivered_by_the_worker(fleet: Fleet) -> None:
    api = f"{fleet.urls['api']}/api/v1/app"
    with receiving() as receiver:
        call(api, {"name": "Shop", "uid": "shop"})
        call(f"{api}/shop/endpoint", {"url": receiver.url})
        status, message = call(
            f"{api}/shop/msg", {"eventType": "order.paid", "payload": {"order": 17}}
        )
        assert status == 202
        assert receiver.wait(lambda: message["id"] in receiver.ledger, 60)
        assert receiver.ledger[message["id"]].body == b'{"order": 17}'

        publish(fleet, "--app", "shop", "--type", "order.paid", "--data", '{"order":18}')
        assert receiver.wait(lambda: len(receiver.ledger) == 2, 60)
        assert b'{"order":18}' in [each.body for each in receiver.ledger.values()]


def publish(fleet: Fleet, *arguments: str) -> None:
    """Publish an event as a program of the fleet does."""
    own = {
        "ROLEHOST_DEPLOYMENT": str(ROOT / "deploy/events.toml"),
        "ROLEHOST__PLUGINS": f"{fleet.storage},webhooks-api,webhooks-ingest",
    }
    done = subprocess.run(
        [ROLEHOST, "webhooks", "send", "--via", "stream", *arguments],
        env=os.environ | fleet.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_deployment_answers_its_own_probe(fleet: Fleet) -> None:
    for url in fleet.urls.values():
        assert call(f"{url}/readyz")[0] == 200
