"""One bad job fails alone: outcomes, options, exceptions, ends that the database refuses, rows."""

from __future__ import annotations

import datetime
import io
import logging
import math
import traceback

import pytest
import structlog
from rolehost.api import (
    Dead,
    Partition,
    PayloadError,
    Record,
    Retry,
    RetryPolicy,
    Snooze,
    StorageUnavailable,
    actor,
    handler,
)
from rolehost.delivery import runner
from rolehost.delivery.handling import Handling
from rolehost.delivery.jobs import Finish
from rolehost.delivery.runner import give_back
from rolehost.deployment.model import LogSettings
from rolehost.failures import MAX_ERROR, ActorFailed, describe, loggable
from rolehost.observe import logs

from tests.delivery.odd_errors import ODD

ONCE = RetryPolicy(attempts=1)


@pytest.fixture(autouse=True)
def host_logs(monkeypatch):
    """Write failures as processes do: structlog's own console shows the variables of frames."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    logs.configure(LogSettings(format="json"), stream=stream)
    monkeypatch.setattr(runner, "log", structlog.get_logger())  # none that is cached
    yield stream.buffer
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    logs._writer = None


@actor()
def plain(context, n: int = 0):
    pass


def enqueue(bench, each, **options):
    with bench.unit_of_work() as work:
        return work.enqueue(each, **options)


BAD_OUTCOMES = [
    lambda: Retry("429", delay="30"),
    lambda: Retry("429", delay=True),
    lambda: Retry("429", delay=datetime.timedelta(seconds=3)),
    lambda: Retry("429", delay=math.nan),
    lambda: Retry("429", delay=math.inf),
    lambda: Retry("429", delay=10**400),
    lambda: Retry(None),
    lambda: Retry(b"429"),
    lambda: Snooze(1e17),
    lambda: Snooze(-1e17),
    lambda: Snooze(None),
    lambda: Snooze("5"),
    lambda: Dead(ValueError("gone")),
    lambda: Dead(None),
]


def test_an_outcome_is_checked_where_it_is_made(bench):
    @actor(retry=ONCE)
    def answers(context, which: int):
        return BAD_OUTCOMES[which]()

    bench.make_runtime(answers)
    for which in range(len(BAD_OUTCOMES)):
        job = enqueue(bench, answers, which=which)
        assert bench.run(bench.claim()[0]) == "dead", which
        error = bench.job(job.id)["error"]
        assert error.startswith(("TypeError: ", "ValueError: ")), which
        assert error.split(": ")[1].startswith(("Retry.", "Snooze.", "Dead.")), which


def test_an_outcome_that_avoids_its_check_is_checked_when_it_is_used(bench):
    class Unchecked(Retry):
        def __post_init__(self):
            pass

    @actor(retry=RetryPolicy(attempts=2, base=1, jitter=0))
    def answers(context):
        return Unchecked(ValueError("no text"), delay="soon")

    bench.make_runtime(answers)
    job = enqueue(bench, answers)
    assert bench.run(bench.claim()[0]) == "retrying"
    assert bench.job(job.id)["attempt"] == 1


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"attempts": 1.5},
        {"attempts": 2**31},
        {"base": "5"},
        {"base": math.nan},
        {"factor": math.inf},
        {"max_delay": -1},
        {"delays": (1, "2")},
        {"delays": 5},
        {"jitter": 1.1},
        {"fatal": ("ValueError",)},
        {"rules": [(ValueError, None)]},
    ],
)
def test_a_retry_policy_is_checked_where_it_is_made(options):
    with pytest.raises((TypeError, ValueError)):
        RetryPolicy(**options)


def test_a_delay_that_grows_beyond_what_a_float_holds_is_the_longest(bench):
    policy = RetryPolicy(base=1e9, factor=1e9, max_delay=7.0, jitter=0)
    assert policy.delay(1_000_000, bench.runtime.random) == 7.0


BAD_OPTIONS = [
    ({"delay": "5"}, "delay"),
    ({"delay": math.nan}, "delay"),
    ({"delay": 1e17}, "delay"),
    ({"delay": datetime.timedelta(seconds=5)}, "total_seconds"),
    ({"priority": "high"}, "priority"),
    ({"priority": True}, "priority"),
    ({"priority": 2**31}, "priority"),
    ({"priority": 1.0}, "priority"),
    ({"key": ""}, "key"),
    ({"key": "a\0b"}, "key"),
    ({"key": "\ud800"}, "key"),
    ({"key": "k" * 601}, "key"),
    ({"key": 7}, "key"),
    ({"unique": b"text"}, "unique"),
    ({"unique": "\0"}, "unique"),
    ({"unique": "🦀" * 601}, "unique"),
]


def test_an_option_is_refused_where_it_is_given_and_nothing_is_written(bench):
    bench.make_runtime(plain)
    with bench.unit_of_work() as work:
        for options, named in BAD_OPTIONS:
            with pytest.raises(PayloadError, match=rf"actor plain.*{named}"):
                work.enqueue(plain, **options)
        work.enqueue(plain)
    assert bench.count("rolehost_jobs") == 1


def test_the_longest_texts_and_the_largest_numbers_are_stored(bench):
    bench.make_runtime(plain)
    text = "🦀" * 600
    for priority in (-(2**31), 2**31 - 1):
        enqueue(bench, plain, key=text, priority=priority, delay=3_155_760_000)
    enqueue(bench, plain, unique=text, delay=-3)
    assert [job.run_at for job in bench.claim()] == [bench.clock.now()]


def test_whatever_an_actor_raises_is_a_counted_failure_with_a_bounded_text(bench, host_logs):
    @actor(retry=RetryPolicy(attempts=2, base=1, jitter=0))
    def raises(context, kind: str):
        raise ODD[kind]()

    bench.make_runtime(raises)
    for kind in ODD:
        job = enqueue(bench, raises, kind=kind)
        assert bench.run(bench.claim()[0]) == "retrying", kind
        assert bench.job(job.id)["attempt"] == 1, kind
        bench.clock.forward(1)
        assert bench.run(bench.claim()[0]) == "dead", kind
        assert 0 < len(bench.job(job.id)["error"]) < MAX_ERROR + 100, kind
    lines = host_logs.getvalue().splitlines()
    reported = [line for line in lines if b"job failed" in line or b"job dead" in line]
    assert len(reported) == 2 * len(ODD)
    assert max(map(len, lines)) < 100_000


def test_whatever_a_handler_raises_is_a_dead_letter(bench, services_of):
    @handler(topic="things", group="g", retry=RetryPolicy(attempts=2, delays=(0,)))
    def raises(context, event):
        raise ODD[event.id]()

    handling = Handling(bench.runtime, services_of(bench.runtime), raises, lambda _seconds: False)
    for offset, kind in enumerate(ODD):
        headers = (("ce_id", kind.encode()), ("ce_source", b"/s"))
        record = Record("things", b"{}", None, headers)
        record = record.read_at(Partition("things", 0), offset, bench.clock.now())
        assert handling.handle(record, suspect=False) == "dead", kind
    with bench.database.session():
        rows = bench.database.read("SELECT error FROM rolehost_dead_events")
    assert len(rows) == len(ODD)
    assert all(0 < len(error) < MAX_ERROR + 100 for (error,) in rows)


@pytest.mark.parametrize("make", ODD.values(), ids=ODD.keys())
def test_the_stored_text_of_an_exception_can_be_formatted_and_stored(make):
    kept = loggable(make())
    assert isinstance(kept, Exception)
    assert len("".join(traceback.format_exception(kept, limit=30))) < 100_000
    str(kept).encode()
    assert describe(kept)


def test_an_exception_with_a_valid_text_is_stored_unchanged():
    error = ValueError("plain")
    assert loggable(error) is error
    assert type(loggable(SystemExit(2))) is ActorFailed


def test_the_members_of_a_group_are_named():
    group = ExceptionGroup("several", [ValueError("a"), KeyError("b")])
    expected = "ExceptionGroup: several (2 sub-exceptions): ValueError: a; KeyError: 'b'"
    assert describe(group) == expected


def test_of_several_ends_the_one_that_the_database_refuses_fails_alone(bench):
    bench.make_runtime(plain)
    jobs = [enqueue(bench, plain) for _ in range(7)]
    claimed = bench.claim()
    now = bench.clock.now()
    ends = [(job, Finish("completed", now, True, None)) for job in claimed]
    ends[3] = (claimed[3], Finish("scheduled", 2**80, False, None))
    give_back(bench.runtime, ends)
    states = [bench.job(job.id)["state"] for job in jobs]
    assert states == ["completed"] * 3 + ["retrying"] + ["completed"] * 3
    guilty = bench.job(jobs[3].id)
    assert guilty["attempt"] == 1
    assert guilty["error"].startswith("the database refuses to store its end (scheduled): ")


def test_completions_raise_if_the_database_is_unavailable(bench, monkeypatch):
    bench.make_runtime(plain)
    enqueue(bench, plain)
    [job] = bench.claim()

    def away(*_):
        raise StorageUnavailable("away")

    monkeypatch.setattr(bench.runtime.ledger, "finish_many", away)
    with pytest.raises(StorageUnavailable):
        give_back(bench.runtime, [(job, Finish("completed", 0, True, None))])


@pytest.mark.parametrize("column", ["priority", "attempt", "run_at", "crashes"])
def test_a_row_that_cannot_be_read_is_dead_and_the_others_are_claimed(bench, column):
    if bench.database.dialect != "sqlite":
        pytest.skip("PostgreSQL keeps the types of its columns")
    bench.make_runtime(plain)
    bad, good = enqueue(bench, plain), enqueue(bench, plain)
    with bench.database.session(), bench.database.transaction() as tx:
        tx.execute(f"UPDATE rolehost_jobs SET {column} = 'high' WHERE id = ?", (bad.id,))
    states = {job.id: bench.run(job) for job in bench.claim()}
    assert states == {bad.id: "dead", good.id: "completed"}
    assert column in bench.job(bad.id)["error"]


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b"", b'{"n": 1, "m": 2}', b"[" * 100_000])
def test_arguments_that_cannot_be_read_are_a_dead_letter(bench, body):
    bench.make_runtime(plain)
    job = enqueue(bench, plain)
    with bench.database.session(), bench.database.transaction() as tx:
        tx.execute("UPDATE rolehost_jobs SET arguments = ? WHERE id = ?", (body, job.id))
    assert bench.run(bench.claim()[0]) == "dead"
    assert bench.job(job.id)["error"].startswith("PayloadError: arguments of actor plain")
