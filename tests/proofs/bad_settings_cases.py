"""The cases of the proof ``bad-settings``: the wrong settings and the expected messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from rolehost_testing.services.kafka import Broker
from rolehost_testing.services.server import Server

#: The password of the servers, and a wrong one; neither may appear in any output.
RIGHT, WRONG = "sesame-9c1f", "hunter2-5f3a"

#: How clients log in to Kafka.
MECHANISM = "SCRAM-SHA-512"

#: A host name that never resolves (RFC 6761).
NOWHERE = "nowhere.invalid"


class Case(NamedTuple):
    """One deployment with one error.

    Attributes:
        name: name of the case.
        kind: the storage kind that its plugin needs.
        section: the backend's section of the deployment file.
        setting: the setting that the line must name.
        words: the other words that the line must contain.
        waits: True if the process waits, False if it exits.
        comes: the engine that starts while the process waits; None if no engine starts.
        extended: not part of a short run.
    """

    name: str
    kind: str
    section: str
    setting: str
    words: str
    waits: bool = False
    comes: Server | None = None
    extended: bool = False

    @property
    def backend(self) -> str:
        """The backend's plugin."""
        return self.section.partition("]")[0].strip("[")


class Servers(NamedTuple):
    """Engines with passwords, TLS and client certificates, and a broker of an old version."""

    postgres: Server
    redis: Server
    redis_tls: Server
    memcached: Server
    kafka: Broker
    old_kafka: int


def cases(servers: Servers) -> Iterator[Case]:
    """Yield every case."""
    yield from _postgres(servers)
    yield from _redis(servers)
    yield from _memcached(servers)
    for client in ("kafka-python", "confluent"):
        for case in _kafka(servers, client):
            yield case._replace(
                name=f"{case.name} ({client})",
                extended=case.extended or client == "confluent",
            )


def _postgres(servers: Servers) -> Iterator[Case]:
    url = servers.postgres.url
    place = urlsplit(url).netloc.rpartition("@")[2]

    def section(**settings: str) -> str:
        return _section("postgres", connect_timeout="2", **settings)

    login = url.replace(RIGHT, WRONG)
    yield Case("postgres: wrong password", "database", section(url=_text(login)),
               "[postgres] password", "wrong user or password")  # fmt: skip
    missing = url.replace("/rolehost?", "/elsewhere?")
    yield Case("postgres: wrong database", "database", section(url=_text(missing)),
               "[postgres] url", "no such database")  # fmt: skip
    host = f"postgresql://rolehost:{WRONG}@{NOWHERE}/rolehost"
    yield Case("postgres: no such host", "database", section(url=_text(host)),
               "[postgres] url", "no such host", waits=True)  # fmt: skip
    untrusted = f"postgresql://rolehost:{WRONG}@{place}/rolehost?sslmode=verify-full"
    yield Case("postgres: TLS that is not trusted", "database", section(url=_text(untrusted)),
               "[postgres] sslrootcert", "certificate")  # fmt: skip
    plain = f"postgresql://rolehost:{WRONG}@{place}/rolehost?sslmode=disable"
    yield Case("postgres: TLS refused", "database", section(url=_text(plain)),
               "[postgres] sslmode", "without TLS", extended=True)  # fmt: skip
    yield Case("postgres: away", "database", section(url=_text(url)), "[postgres] url",
               "connection refused", waits=True, comes=servers.postgres)  # fmt: skip


def _redis(servers: Servers) -> Iterator[Case]:
    url, place = servers.redis.url, f"127.0.0.1:{servers.redis.port}"

    def section(text: str) -> str:
        return _section("redis", url=_text(text), connect_timeout="2.0", timeout="2.0")

    yield Case("redis: wrong password", "cache", section(url.replace(RIGHT, WRONG)),
               "[redis] url", "wrong user or password")  # fmt: skip
    yield Case("redis: wrong database", "queue", section(url.replace("/0", "/4711")),
               "[redis] url", "no database with that number")  # fmt: skip
    yield Case("redis: no such host", "queue", section(f"redis://:{WRONG}@{NOWHERE}:6379/0"),
               "[redis] url", "no such host", waits=True)  # fmt: skip
    yield Case("redis: TLS refused", "cache", section(f"rediss://:{WRONG}@{place}/0"),
               "[redis] url", "the server does not speak it")  # fmt: skip
    tls = f"127.0.0.1:{servers.redis_tls.port}"
    yield Case("redis: TLS that is not trusted", "queue", section(f"rediss://:{WRONG}@{tls}/0"),
               "[redis] url", "certificate is not trusted", extended=True)  # fmt: skip
    authority = f"?ssl_ca_certs={servers.redis_tls.authority}"
    yield Case("redis: no certificate", "queue",
               section(f"rediss://:{WRONG}@{tls}/0{authority}"),
               "[redis] url", "requires a client certificate")  # fmt: skip
    yield Case("redis: TLS only", "cache", section(f"redis://:{WRONG}@{tls}/0"),
               "[redis] url", "speaks TLS only", extended=True)  # fmt: skip
    yield Case("redis: another server", "cache",
               section(f"redis://:{WRONG}@127.0.0.1:{servers.memcached.port}/0"),
               "[redis] url", "not Redis", extended=True)  # fmt: skip
    yield Case("redis: away", "queue", section(url), "[redis] url", "connection refused",
               waits=True, comes=servers.redis)  # fmt: skip


def _memcached(servers: Servers) -> Iterator[Case]:
    def section(place: str) -> str:
        return _section("memcached", servers=f'["{place}"]')

    yield Case("memcached: no such host", "cache", section(f"{NOWHERE}:11211"),
               "[memcached] servers", "no such host", waits=True)  # fmt: skip
    yield Case("memcached: another server", "cache", section(f"127.0.0.1:{servers.redis.port}"),
               "[memcached] servers", "not memcached")  # fmt: skip
    yield Case("memcached: away", "cache", section(f"127.0.0.1:{servers.memcached.port}"),
               "[memcached] servers", "connection refused", waits=True,
               comes=servers.memcached)  # fmt: skip


def _kafka(servers: Servers, client: str) -> Iterator[Case]:
    kafka = servers.kafka
    plain = f"127.0.0.1:{kafka.port}"

    def section(place: str, **settings: str) -> str:
        return _section("kafka", servers=f'["{place}"]', client=_text(client),
                        connect_timeout="2.0", **settings)  # fmt: skip

    trusting = {"tls": "true", "tls_ca": _text(str(kafka.authority))}

    def login(mechanism: str) -> dict[str, str]:
        return {"sasl_mechanism": _text(mechanism), "sasl_username": _text("rolehost"),
                "sasl_password": _text(WRONG), **trusting}  # fmt: skip

    at_login, at_tls = f"127.0.0.1:{kafka.login_port}", f"127.0.0.1:{kafka.tls_port}"
    yield Case("kafka: wrong password", "stream", section(at_login, **login(MECHANISM)),
               "[kafka] sasl_username, sasl_password", "login")  # fmt: skip
    yield Case("kafka: wrong mechanism", "stream", section(at_login, **login("PLAIN")),
               "[kafka] sasl_mechanism", "not offer", extended=True)  # fmt: skip
    yield Case("kafka: no login", "stream", section(at_login, **trusting),
               "[kafka] sasl_mechanism", "requires a login", extended=True)  # fmt: skip
    yield Case("kafka: no such host", "stream", section(f"{NOWHERE}:9092"),
               "[kafka] servers", "no such host", waits=True)  # fmt: skip
    yield Case("kafka: TLS refused", "stream", section(plain, tls="true"),
               "[kafka] tls", "does not speak TLS")  # fmt: skip
    yield Case("kafka: TLS that is not trusted", "stream", section(at_tls, tls="true"),
               "[kafka] tls_ca", "not trusted", extended=True)  # fmt: skip
    yield Case("kafka: no certificate", "stream", section(at_tls, **trusting),
               "[kafka] tls_certificate", "requires a client certificate")  # fmt: skip
    yield Case("kafka: TLS only", "stream", section(at_tls),
               "[kafka] tls", "speaks TLS only", extended=True)  # fmt: skip
    yield Case("kafka: wrong version", "stream", section(f"127.0.0.1:{servers.old_kafka}"),
               "[kafka] servers", "expected Kafka 2.5 or newer")  # fmt: skip
    storage = _section("storage", stream=_text("kafka"), database=_text("embedded"))
    yield Case("kafka: topic missing", "topic", section(plain, topics=_text("verify")) + storage,
               "[kafka] topics", "bad-settings")  # fmt: skip
    yield Case("kafka: away", "stream", section(plain), "[kafka] servers", "connection refused",
               waits=True, comes=kafka)  # fmt: skip


def _section(name: str, **settings: str) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())


def _text(value: str) -> str:
    return f'"{value}"'
