"""The environment of the proof ``kafka-faults``: a deployment of consumers, and its ledger."""

from __future__ import annotations

import secrets
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import CoordinatorNotAvailableError
from rolehost.services import ProcessServices

from tests.proofs import kafka_plugin
from tests.proofs.kit import ROOT
from tests.proofs.running import READY, Running, eventually, running

#: Timeout in seconds for all effects.
PATIENCE = 90.0
#: Maximum poll interval in seconds; short, so that a handler can exceed it.
POLL = 4.0
#: The broker settings that allow it.
PARAMETERS = {"group.min.session.timeout.ms": 1000, "auto.create.topics.enable": "true"}


class Place:
    """A deployment of the proof's handlers with separate topics and groups.

    Attributes:
        path: the deployment file.
        services: the services to publish with.
        prefix: prefix of the names of its topics and groups in Kafka.
    """

    def __init__(
        self,
        folder: Path,
        servers: str,
        *,
        client: str,
        handlers: str,
        processes: int = 1,
        slow: float = 0.0,
    ) -> None:
        folder.mkdir()
        self._servers = servers.split(",")
        self.prefix = f"faults-{secrets.token_hex(4)}-"
        self.path = folder / "faults.toml"
        self._folder = folder
        self._environ = {
            kafka_plugin.WANTED: handlers,
            kafka_plugin.SLOW: str(slow),
            "PYTHONPATH": f"{_site(folder)}:{ROOT}",
            "XDG_RUNTIME_DIR": str(folder),
        }
        self.path.write_text(
            'plugins = ["embedded", "kafka", "faults"]\n[storage]\nstream = "kafka"\n'
            f'[embedded]\npath = "{folder}/service.db"\n'
            f'[kafka]\nclient = "{client}"\nservers = {self._servers}\n'
            f'prefix = "{self.prefix}"\npartitions = 6\nsession_timeout = 3.0\n'
            f"poll_interval = {POLL}\n"
            f"request_timeout = 5.0\npublish_timeout = 5.0\n"
            f"[consumer]\nprocesses = {processes}\n"
        )

    @contextmanager
    def consuming(self) -> Iterator[Running]:
        """Run the deployment during the block."""
        command = [sys.executable, "-m", "rolehost", "run", str(self.path)]
        with running(command, self._folder, self._environ) as host:
            host.until(READY)
            yield host

    @contextmanager
    def publishing(self) -> Iterator[ProcessServices]:
        """Create the tables and give services to publish with."""
        from rolehost import schema
        from rolehost.composition import compose
        from rolehost.deployment import load

        composition = compose(load(self.path), extra={"faults": kafka_plugin.plugin})
        services = ProcessServices(composition, role="command")
        try:
            schema.up(services.database, [schema.HOST_SET, *composition.schema_sets])
            with services.database.session(), services.database.transaction() as tx:
                for table in kafka_plugin.TABLES:
                    tx.execute(table)
            yield services
        finally:
            services.close()

    def shared(self, group: str, members: int) -> None:
        """Wait until this number of processes share a group's partitions and none is joining.

        Raises:
            AssertionError: this did not happen in time.
        """
        name = f"{self.prefix}{group}"

        def owners() -> int:
            try:
                (found,) = admin.describe_groups([name]).values()
            except CoordinatorNotAvailableError:
                return 0  # the broker creates its offsets topic when the first group joins
            if found["group_state"] != "Stable":
                return 0
            return sum(
                any(
                    each["partitions"]
                    for each in member["member_assignment"]["assigned_partitions"]
                )
                for member in found["members"]
            )

        with closing(KafkaAdminClient(bootstrap_servers=self._servers)) as admin:
            got = eventually(owners, lambda count: count == members, seconds=PATIENCE)
        assert got == members, f"{got} of {members} members of {name} have partitions"

    def read(self, sql: str) -> list[Any]:
        """Query the database on a separate connection."""
        with closing(sqlite3.connect(self._folder / "service.db", timeout=30)) as database:
            return database.execute(sql).fetchall()

    def effects(self, topic: str) -> list[tuple[str, int, int]]:
        """Return key, number and process of every effect, in commit order."""
        return self.read(f"SELECT key, n, pid FROM effects WHERE topic = '{topic}' ORDER BY id")

    def until(self, topic: str, count: int, host: Running) -> float:
        """Wait for this number of effects; return the elapsed seconds.

        Raises:
            AssertionError: they did not come in time.
        """
        began = time.monotonic()
        ask = f"SELECT count(*) FROM effects WHERE topic = '{topic}'"
        got = eventually(lambda: self.read(ask)[0][0], lambda n: n >= count, seconds=PATIENCE)
        assert got >= count, f"{got} of {count} effects of {topic}:\n{host.output[-3000:]}"
        return time.monotonic() - began


def unordered(effects: Sequence[tuple[str, int, int]]) -> list[str]:
    """Return the keys whose numbers do not increase."""
    last: dict[str, int] = {}
    wrong = []
    for key, number, _ in effects:
        if number <= last.get(key, -1):
            wrong.append(f"{key}: {number} after {last[key]}")
        last[key] = number
    return wrong


def _site(folder: Path) -> Path:
    """Write the distribution metadata of the plugin; return the folder."""
    metadata = folder / "site" / "rolehost_faults-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: rolehost-faults\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(
        "[rolehost]\nfaults = tests.proofs.kafka_plugin:plugin\n"
    )
    return metadata.parent
