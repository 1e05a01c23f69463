"""The four deployments of ``deploy/`` do together what the embedded one does alone.

Here without a server beside them: the embedded backends take the place of the engines, by the
variables that docs/deployment.md names. On the engines: ``scripts/prove fleet-real``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.test_tutorial import call
from tests.proofs.kit import ROOT
from tests.proofs.receiver import receiving
from tests.proofs.running import READY, free_port, running

ROLEHOST = Path(sys.prefix) / "bin" / "rolehost"

#: Deployment file → the options that docs/deployment.md gives it, and its plugins.
FLEET = {
    "api": ((), "ops,openapi,webhooks-api"),
    "worker": (("--role", "worker", "--role", "http"), "ops,webhooks-delivery"),
    "events": ((), "ops,webhooks-ingest"),
    "scheduler": (("--role", "scheduler", "--role", "http"), "ops,webhooks-delivery"),
}
KINDS = ("DATABASE", "QUEUE", "CACHE", "STREAM")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Where each deployment answers, all on one database file."""
    shared = {
        "ROLEHOST__EMBEDDED__PATH": str(tmp_path / "fleet.db"),
        "ROLEHOST__HTTP__SHUTDOWN_DELAY": "0",
        **{f"ROLEHOST__STORAGE__{kind}": "embedded" for kind in KINDS},
    }
    with ExitStack() as stack:
        urls, hosts = {}, []
        for name, (options, plugins) in FLEET.items():
            address = f"127.0.0.1:{free_port()}"
            environ = shared | {
                "ROLEHOST__HTTP__BIND": address,
                "ROLEHOST__PLUGINS": f"embedded,{plugins}",
            }
            if name in {"worker", "scheduler"}:  # the others do not know this plugin
                environ["ROLEHOST__WEBHOOKS_DELIVERY__ALLOW_PRIVATE"] = "true"
            command = [ROLEHOST, "run", ROOT / f"deploy/{name}.toml", *options]
            hosts.append(stack.enter_context(running(command, tmp_path, environ)))
            urls[name] = f"http://{address}"
        for host in hosts:
            host.until(READY)
        yield urls


def test_a_message_given_to_the_api_is_delivered_by_the_worker(fleet: dict[str, str]) -> None:
    api = f"{fleet['api']}/api/v1/app"
    with receiving() as receiver:
        call(api, {"name": "Shop", "uid": "shop"})
        call(f"{api}/shop/endpoint", {"url": receiver.url})
        status, message = call(
            f"{api}/shop/msg", {"eventType": "order.paid", "payload": {"order": 17}}
        )
        assert status == 202
        assert receiver.wait(lambda: message["id"] in receiver.ledger, 60)
    assert receiver.ledger[message["id"]].body == b'{"order": 17}'


def test_every_deployment_answers_its_own_probe(fleet: dict[str, str]) -> None:
    for url in fleet.values():
        assert call(f"{url}/readyz")[0] == 200
