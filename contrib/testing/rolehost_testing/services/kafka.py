"""Apache Kafka in KRaft mode: one broker that is also the controller, or several."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rolehost_testing.services import certificates, jars
from rolehost_testing.services.guarded import environment, free_port
from rolehost_testing.services.server import Server, StartFailed

#: Options for a small and fast JVM: a broker of a test has little data and a short life.
_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")

#: The user of clients, if a password is required.
USER = "rolehost"

#: Any valid cluster id; test clusters cannot interfere, because they have different ports.
_CLUSTER = "cm9sZWhvc3QtdGVzdHMtMA"


class Broker(Server):
    """One broker; ``brokers`` contains only itself unless it belongs to a cluster.

    Attributes:
        login_port: port with SASL login, encrypted if TLS is enabled; 0 without a password.
        tls_port: port with TLS; 0 without TLS.
        authority: PEM file of the certificate authority; None without TLS.
        client: certificate of a client; None without TLS.
    """

    name = "kafka"

    def __init__(
        self,
        parameters: Mapping[str, object] | None = None,
        number: int = 1,
        *,
        password: str | None = None,
        mechanisms: Sequence[str] = ("PLAIN",),
        tls: bool = False,
        client_certificates: bool = False,
    ) -> None:
        self._java = jars.java()
        self._jars = jars.folder()
        super().__init__()
        self.number = number
        self.controller_port = free_port()
        self.brokers: Sequence[Broker] = (self,)
        self.login_port = free_port() if password else 0
        self.tls_port = free_port() if tls else 0
        self.authority: Path | None = None
        self.client: certificates.Pair | None = None
        self._listeners = {"PLAINTEXT": ("PLAINTEXT", self.port)}
        self._known: list[str] = []
        more: dict[str, object] = {}
        if tls:
            self._listeners["TLS"] = ("SSL", self.tls_port)
            made = certificates.make(self.folder)
            self.authority, self.client = made.authority, made.client
            more |= _encryption("tls", made, client_certificates)
        if password:
            self._listeners["LOGIN"] = ("SASL_SSL" if tls else "SASL_PLAINTEXT", self.login_port)
            more |= _login(password, mechanisms)
            if tls:
                more |= _encryption("login", made, False)
            for mechanism in mechanisms:
                if mechanism != "PLAIN":
                    self._known += ["-S", f"{mechanism}=[name={USER},password={password}]"]
        self._parameters = {**more, **(parameters or {})}

    @property
    def url(self) -> str:
        """``kafka://127.0.0.1:PORT``."""
        return f"kafka://127.0.0.1:{self.port}"

    def _settings(self) -> dict[str, object]:
        controllers = ((each.number, each.controller_port) for each in self.brokers)
        copies = len(self.brokers)
        enough = min(2, copies)
        listeners = self._listeners.items()
        places = ",".join(f"{name}://127.0.0.1:{port}" for name, (_, port) in listeners)
        protocols = ",".join(f"{name}:{protocol}" for name, (protocol, _) in listeners)
        return {
            "process.roles": "broker,controller",
            "node.id": self.number,
            "controller.quorum.voters": ",".join(
                f"{number}@127.0.0.1:{port}" for number, port in controllers
            ),
            "listeners": f"{places},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": places,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": f"{protocols},CONTROLLER:PLAINTEXT",
            "log.dirs": self.folder / "data",
            "default.replication.factor": copies,
            "min.insync.replicas": enough,
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": enough,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": enough,
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
            # A killed broker cannot rejoin before its old session expires: 9 s by default.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            **self._parameters,
        }

    def _launch(self) -> None:
        file = self.folder / "server.properties"
        lines = [f"{key}={value}" for key, value in self._settings().items()]
        file.write_text("\n".join(lines) + "\n", "utf-8")
        if not (self.folder / "data").exists():
            self._format(file)
        super()._launch()

    def _format(self, file: Path) -> None:
        """Create the data directory like the storage tool, which runs once for each broker number.

        The files contain neither port nor folder, so copies of them save a slow Java start.
        """
        data = self.folder / "data"
        kept = self._jars / "formatted" / str(self.number)
        if self._parameters:
            self._run_storage_tool(file)
        elif kept.is_dir():
            shutil.copytree(kept, data)
        else:
            self._run_storage_tool(file)
            made = shutil.copytree(data, Path(tempfile.mkdtemp(dir=self._jars)) / "data")
            kept.parent.mkdir(exist_ok=True)
            with contextlib.suppress(OSError):
                made.rename(kept)
            shutil.rmtree(made.parent)

    def _run_storage_tool(self, file: Path) -> None:
        tool = [
            *self._java_command("kafka.tools.StorageTool"),
            "format",
            "-t",
            _CLUSTER,
            "-c",
            file,
            *self._known,
        ]
        done = subprocess.run(
            tool,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=environment(self.folder),
            check=False,
        )
        if done.returncode:
            raise StartFailed(f"Kafka's storage tool failed:\n{done.stdout.decode()[-2000:]}")

    def _java_command(self, main: str) -> list[str | Path]:
        return [self._java, *_JVM, "-cp", f"{self._jars}/*", main]

    def _command(self) -> list[str | Path]:
        return [*self._java_command("kafka.Kafka"), self.folder / "server.properties"]

    def _answers(self) -> bool:
        return len(alive(self.port)) >= len(self.brokers)


def _login(password: str, mechanisms: Sequence[str]) -> dict[str, object]:
    """Return the parameters of a listener with a login of :data:`USER`."""
    package, prefix = "org.apache.kafka.common.security", "listener.name.login"
    plain = f'{package}.plain.PlainLoginModule required user_{USER}="{password}";'
    # For SCRAM, the users are in the data directory that the storage tool creates.
    scram = f"{package}.scram.ScramLoginModule required;"
    modules = {
        f"{prefix}.{each.lower()}.sasl.jaas.config": plain if each == "PLAIN" else scram
        for each in mechanisms
    }
    return {f"{prefix}.sasl.enabled.mechanisms": ",".join(mechanisms), **modules}


def _encryption(
    listener: str, made: certificates.Certificates, client_certificates: bool
) -> dict[str, object]:
    """Return the parameters of a listener with TLS."""
    server, prefix = made.server, f"listener.name.{listener}.ssl"
    store = server.key.with_name("keystore.pem")
    store.touch(0o600)
    store.write_text(server.key.read_text() + server.certificate.read_text())
    return {
        f"{prefix}.keystore.type": "PEM",
        f"{prefix}.keystore.location": store,
        f"{prefix}.truststore.type": "PEM",
        f"{prefix}.truststore.location": made.authority,
        f"{prefix}.client.auth": "required" if client_certificates else "none",
    }


class Cluster(Server):
    """Several brokers as one server; each operation applies to all of them.

    Attributes:
        brokers: the brokers, each a server that can be stopped or frozen separately.
    """

    name = "kafka"

    def __init__(self, count: int, parameters: Mapping[str, object] | None = None) -> None:
        jars.folder()
        super().__init__()
        self.brokers: list[Broker] = []
        try:
            for number in range(1, count + 1):
                self.brokers.append(Broker(parameters, number))
        except BaseException:
            self.close()
            raise
        for broker in self.brokers:
            broker.brokers = self.brokers
        self.port = self.brokers[0].port

    @property
    def url(self) -> str:
        """``kafka://127.0.0.1:PORT,127.0.0.1:PORT,…``."""
        return "kafka://" + ",".join(f"127.0.0.1:{broker.port}" for broker in self.brokers)

    @property
    def pid(self) -> int:
        """Id of the first broker's process."""
        return self.brokers[0].pid

    @property
    def log(self) -> str:
        """The output of all brokers, one after the other."""
        return "".join(broker.log for broker in self.brokers)

    def run(self) -> None:
        """Start the brokers that do not run; wait until each knows all the others."""
        for broker in self.brokers:
            if not broker.running:
                broker._launch()
        for broker in self.brokers:
            broker._await_answer()

    def stop(self, immediate: bool = False) -> None:
        """Stop all at once, because the last broker cannot shut down cleanly without others."""
        for broker in self.brokers:
            broker._ask_to_end(immediate)
        for broker in self.brokers:
            broker._reap()

    def freeze(self) -> None:
        """Freeze every broker."""
        for broker in self.brokers:
            broker.freeze()

    def thaw(self) -> None:
        """Resume every broker."""
        for broker in self.brokers:
            broker.thaw()

    def close(self) -> None:
        """Close every broker."""
        for broker in self.brokers:
            broker.close()
        super().close()

    def _command(self) -> list[str | Path]:
        raise NotImplementedError("a cluster has no process of its own")

    def _answers(self) -> bool:
        return all(broker._answers() for broker in self.brokers)


def alive(port: int) -> list[int]:
    """Return the numbers of the live brokers, as a broker reports them.

    Sends a Metadata request, version 1, without topics, so the response starts with the brokers
    (https://kafka.apache.org/protocol, API key 3).

    Raises:
        OSError: the broker does not answer.
    """
    body = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 0)
    with socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.settimeout(5)
        connection.sendall(struct.pack(">i", len(body)) + body)
        with connection.makefile("rb") as stream:
            (length,) = struct.unpack(">i", _exactly(stream.read(4), 4))
            answer = _exactly(stream.read(length), length)
    (count,) = struct.unpack_from(">i", answer, 4)
    at, found = 8, []
    for _ in itertools.repeat(None, count):
        number, host = struct.unpack_from(">ih", answer, at)
        at += 6 + host + 4
        (rack,) = struct.unpack_from(">h", answer, at)
        at += 2 + max(rack, 0)
        found.append(number)
    return found


def _exactly(read: bytes, length: int) -> bytes:
    if len(read) != length:
        raise ConnectionResetError("the broker hung up")
    return read
