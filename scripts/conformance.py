"""Run the conformance suites against every backend and write ``docs/conformance.md``.

``python -m scripts.conformance`` uses the engines that the environment names, and starts the
others, as the tests do. ``python -m scripts.conformance cache queue`` runs only the suites of
these kinds and keeps the results of the other kinds on the page. ``--check`` runs no suite: it
collects the tests, compares the page with the collected tests and the declared capabilities, and
exits with 1 if the page is out of date.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rolehost.storage import CAPABILITIES

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "conformance.md"
NOTE = (
    "<!-- Written by `python -m scripts.conformance`, which runs the suites; do not change it. -->"
)


@dataclass(frozen=True, slots=True)
class Backend:
    """One column of the page: a backend and the test classes of its suites.

    Attributes:
        kind: the storage kind.
        title: the backend's name for readers.
        target: the class that declares the capabilities, as ``module:Class``.
        suite: the test class of the kind's suite.
        restart: the test class of the suite that restarts the server; None if there is no server.
    """

    kind: str
    title: str
    target: str
    suite: str
    restart: str | None = None

    @property
    def capabilities(self) -> frozenset[str]:
        """The capabilities that the backend declares."""
        module, _, name = self.target.partition(":")
        declared: frozenset[str] = getattr(importlib.import_module(module), name).capabilities
        return declared


BACKENDS = (
    Backend("database", "SQLite", "rolehost_embedded.database:EmbeddedDatabase",
            "TestEmbeddedDatabase"),
    Backend("database", "PostgreSQL", "rolehost_postgres.database:PostgresDatabase",
            "TestPostgresDatabase", "TestPostgresDatabaseRestart"),
    Backend("cache", "in-process", "rolehost_embedded.cache:EmbeddedCache",
            "TestEmbeddedCache"),
    Backend("cache", "Redis", "rolehost_redis.cache:RedisCache",
            "TestRedisCache", "TestRedisCacheRestart"),
    Backend("cache", "memcached", "rolehost_memcached.cache:MemcachedCache",
            "TestMemcachedCache", "TestMemcachedCacheRestart"),
    Backend("queue", "SQLite", "rolehost_embedded.queue:EmbeddedQueue",
            "TestEmbeddedQueue"),
    Backend("queue", "PostgreSQL", "rolehost_postgres.queue:PostgresQueue",
            "TestPostgresQueue", "TestPostgresQueueRestart"),
    Backend("queue", "Redis", "rolehost_redis.queue:RedisQueue",
            "TestRedisQueue", "TestRedisQueueRestart"),
    Backend("stream", "SQLite", "rolehost_embedded.stream:EmbeddedStream",
            "TestEmbeddedStream"),
    Backend("stream", "Kafka, kafka-python", "rolehost_kafka.stream:KafkaStream",
            "TestKafkaPython", "TestKafkaPythonRestart"),
    Backend("stream", "Kafka, confluent", "rolehost_kafka.stream:KafkaStream",
            "TestConfluent", "TestConfluentRestart"),
)  # fmt: skip


@dataclass(eq=False)
class Results:
    """A pytest plugin that counts tests by test class.

    Attributes:
        collected: number of collected tests by class.
        passed: number of passed tests by class.
        failed: ids of the tests that failed, also in setup or teardown.
    """

    collected: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the collected tests."""
        self.collected.update(_class(item.nodeid) for item in session.items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the outcome of a test."""
        if report.failed:
            self.failed.append(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed[_class(report.nodeid)] += 1


def _class(nodeid: str) -> str:
    return nodeid.split("::")[1]


def run(*options: str) -> Results:
    """Run pytest over the suites of all backends.

    Raises:
        SystemExit: a suite cannot be collected.
    """
    results = Results()
    modules = sorted(ROOT.glob("plugins/*/tests/test_conformance.py"))
    modules += sorted(ROOT.glob("plugins/*/tests/test_restart.py"))
    status = pytest.main(["-q", *options, *map(str, modules)], plugins=[results])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise SystemExit(f"conformance: pytest ended with {status!r}")
    unknown = set(results.collected) - {
        name for each in BACKENDS for name in (each.suite, each.restart)
    }
    if unknown:
        raise SystemExit(f"conformance: not among BACKENDS of {__file__}: {sorted(unknown)}")
    return results


def page(collected: Counter[str], passed: Counter[str]) -> str:
    """Return the page."""
    parts = [
        NOTE,
        "# Conformance",
        "All backends of a storage kind pass the same suite of `rolehost_testing.conformance`. It "
        "tests concurrency in threads and processes, time-outs, values at the limits, Unicode, "
        "empty and binary values, expiry, order and redelivery. Backends with a server also pass "
        "a second suite: it stops and kills the server while a client uses it, and the client "
        "must work again.",
        "A test that needs a capability is skipped for backends that do not declare it; other "
        "tests check that such a backend refuses the calls. `transactions` and `wake-up` are "
        "tested with every backend, whatever it declares. The suites do not test `lru`, "
        "`skip-locked` and `multi-host`. "
        "`contrib/testing/rolehost_testing/conformance/__init__.py` shows in four lines how the "
        "tests of a backend subclass a suite.",
    ]
    for kind in CAPABILITIES:
        columns = [each for each in BACKENDS if each.kind == kind]
        parts += [f"## {kind.capitalize()}", _table(kind, columns, collected, passed)]
    return "\n\n".join(parts) + "\n"


def _table(kind: str, columns: list[Backend], collected: Counter[str], passed: Counter[str]) -> str:
    lines = [
        ["", *(each.title for each in columns)],
        ["---"] * (1 + len(columns)),
        ["tests passed", *(str(passed[each.suite]) for each in columns)],
        ["skipped", *(str(collected[each.suite] - passed[each.suite]) for each in columns)],
        ["passed with restarts of the server", *(_restarts(each, passed) for each in columns)],
        ["skipped with restarts", *(_without(each, collected, passed) for each in columns)],
    ]
    for name in CAPABILITIES[kind]:  # type: ignore[index]
        marks = ("yes" if name in each.capabilities else "–" for each in columns)
        lines.append([f"`{name}`", *marks])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _restarts(backend: Backend, passed: Counter[str]) -> str:
    return str(passed[backend.restart]) if backend.restart else "no server"


def _without(backend: Backend, collected: Counter[str], passed: Counter[str]) -> str:
    if not backend.restart:
        return "–"
    return str(collected[backend.restart] - passed[backend.restart])


def stated(text: str) -> Counter[str]:
    """Return the counts of passed tests that a page states, by test class."""
    found: Counter[str] = Counter()
    for kind, section in re.findall(r"^## (\w+)\n\n(.*?)(?=\n\n|\Z)", text, re.M | re.S):
        columns = [each for each in BACKENDS if each.kind == kind.lower()]
        for line in section.splitlines():
            head, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            for backend, cell in zip(columns, cells, strict=False):
                if head == "tests passed":
                    found[backend.suite] = int(cell)
                elif head.startswith("passed with") and backend.restart:
                    found[backend.restart] = int(cell)
    return found


def collected() -> Counter[str]:
    """Return the number of tests by test class."""
    with contextlib.redirect_stdout(io.StringIO()):
        return run("--collect-only", "-qq").collected


def current() -> bool:
    """Return whether the page matches the current tests and capabilities."""
    if not PAGE.exists():
        return False
    text = PAGE.read_text("utf-8")
    return page(collected(), stated(text)) == text


def main() -> int:
    """Write or compare the page."""
    if sys.argv[1:] == ["--check"]:
        if current():
            return 0
        print("docs/conformance.md is out of date; fix: just conformance")
        return 1
    kinds = sys.argv[1:] or list(CAPABILITIES)
    if unknown := set(kinds) - set(CAPABILITIES):
        print(f"conformance: expected kinds of storage or --check, got {', '.join(unknown)}")
        return 2
    there = collected()
    results = run("-k", " or ".join(each.suite for each in BACKENDS if each.kind in kinds))
    if results.failed:
        print("docs/conformance.md is not written: a test failed")
        return 1
    kept = stated(PAGE.read_text("utf-8")) if PAGE.exists() else Counter()
    PAGE.write_text(page(there, Counter({**kept, **results.passed})), "utf-8")
    print("wrote docs/conformance.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
