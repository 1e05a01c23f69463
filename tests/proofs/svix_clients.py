"""Svix's clients from their registries; a driver calls every offered operation of each."""

from __future__ import annotations

import json
import re

from tests.proofs import svix_packages
from tests.proofs.deployed import Deployed, embedded
from tests.proofs.kit import Figures, Options, Unavailable
from tests.proofs.receiver import receiving
from tests.proofs.svix_packages import Client

PROMISE = (
    "Svix's clients of both majors for Python and JavaScript, and its published clients for Go,"
    " Java and Ruby, work if only the server's URL is changed: each calls all of its 39 methods"
    " for operations that the host offers (Java 38). The tests that a package contains pass too"
)
DURATION = "about 1 min; --short: 15 s"

TOKEN = "a-token-for-clients"

#: The clients in CI: the two languages whose registries are always available.
SHORT = (
    Client("python", "1.99.1", svix_packages.python),
    Client("python", "2.9.1", svix_packages.python),
    Client("javascript", "1.99.1", svix_packages.javascript),
    Client("javascript", "2.5.0", svix_packages.javascript),
)

FURTHER = (
    Client("go", "1.99.1", svix_packages.go, suite=svix_packages.go_suite),
    # It cannot do one operation: its HTTP library refuses to send a POST without a body.
    Client("java", "1.99.1", svix_packages.java, operations=38),
    Client("ruby", "2.0.0", svix_packages.ruby),
)


def prove(options: Options) -> Figures:
    """Run the driver of each client; ``--short`` omits Go, Java and Ruby."""
    clients = SHORT if options.short else SHORT + FURTHER
    task = options.progress(len(clients), "clients")
    figures: dict[str, str] = {}
    with embedded(f'[webhooks-api]\ntoken = "{TOKEN}"\n') as deployed, receiving() as receiver:
        for client in clients:
            task.relabel(str(client))
            try:
                figures[str(client)] = driven(client, deployed, receiver.url)
            except Unavailable as error:
                if client in SHORT:
                    raise
                # Reported in the figures: an unreachable registry does not break the promise.
                figures[str(client)] = f"not run: {error}"
            task.advance(1)
    return figures


def driven(client: Client, deployed: Deployed, receiver: str) -> str:
    """Run the driver, and the package's tests if there are any; return a description of both."""
    command = client.get(client.version)
    name = re.sub(r"[^a-z0-9]", "-", str(client))
    printed = command.run(deployed.url, TOKEN, receiver, name).splitlines()[-1]
    answer = json.loads(printed)
    assert answer.get("version", client.version) == client.version, printed
    assert answer["operations"] == client.operations, f"{client}: {printed}"
    reported = f"{answer['operations']} operations"
    if client.suite is not None:
        server = {"SVIX_SERVER_URL": deployed.url, "SVIX_TOKEN": TOKEN}
        client.suite(client.version).run(environment=server)
        reported += ", its own tests"
    return reported
