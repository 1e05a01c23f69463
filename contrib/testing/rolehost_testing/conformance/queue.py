"""The conformance suite of ``queue`` backends."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from signal import SIGKILL
from typing import Any

import dramatiq
import pytest
from rolehost.api import Actor
from rolehost.errors import CapabilityMissing, StorageUnavailable
from rolehost.roles.worker.ephemeral import PoisonMessages
from rolehost.storage import CAPABILITIES, Queue

from rolehost_testing.conformance.cache import silent_server
from rolehost_testing.conformance.clients import PATIENCE, BackendSuite, need, process

_QUEUE = "conformance"
#: Bytes that are not a valid message.
_POISON = b"\xff\x00 no message"


class QueueConformance(BackendSuite[Queue]):
    """Subclass it and override ``make_backend``; if the backend has a server, also ``make_at``."""

    @pytest.fixture
    def make_at(self) -> Callable[[str, int], Queue]:
        """A function that makes a client for a host and port, with the shortest timeouts."""
        pytest.skip("this backend has no server")

    def test_declares_known_capabilities(self, backend: Queue) -> None:
        assert backend.capabilities <= set(CAPABILITIES["queue"])

    def test_a_wake_up_before_the_wait_is_not_lost(self, backend: Queue) -> None:
        listener = backend.listen({"outbox"})
        backend.wake(["outbox"])
        assert listener.wait(PATIENCE) == {"outbox"}
        assert listener.wait(0) == frozenset()

    def test_a_wake_up_ends_a_running_wait(
        self, backend: Queue, open_client: Callable[[], Queue]
    ) -> None:
        other, listener = open_client(), backend.listen({"queue:a"})
        with _waiting(listener) as woken:
            other.wake(["queue:a"])
            assert woken.get(timeout=PATIENCE) == {"queue:a"}

    def test_wake_ups_merge(self, backend: Queue) -> None:
        listener = backend.listen({"queue:a", "topic:b"})
        for _ in range(5):
            backend.wake(["queue:a", "topic:b"])
        assert _all(listener, 2) == {"queue:a", "topic:b"}

    def test_a_flood_of_one_name_hides_no_other(self, backend: Queue) -> None:
        listener = backend.listen({"queue:a", "queue:b"})
        for _ in range(2000):
            backend.wake(["queue:a"])
        backend.wake(["queue:b"])
        assert _all(listener, 2) == {"queue:a", "queue:b"}

    def test_only_listeners_of_the_name_are_woken_and_all_of_them(
        self, backend: Queue, open_client: Callable[[], Queue]
    ) -> None:
        listeners = [queue.listen({"queue:a"}) for queue in (backend, backend, open_client())]
        bystander = backend.listen({"queue:b"})
        backend.wake(["queue:a"])
        assert [listener.wait(PATIENCE) for listener in listeners] == [{"queue:a"}] * 3
        assert bystander.wait(0) == frozenset()

    def test_a_listener_that_came_later_is_woken_too(self, backend: Queue) -> None:
        for _ in range(20):
            backend.wake(["queue:a"])
            listener = backend.listen({"queue:a"})
            backend.wake(["queue:a"])
            assert listener.wait(PATIENCE) == {"queue:a"}
            listener.close()

    def test_names_are_any_text(self, backend: Queue) -> None:
        names = {"queue:ü 🐍/..", "topic:" + "long" * 50, "outbox"}
        listener = backend.listen(names)
        backend.wake(names)
        assert _all(listener, 3) == names

    def test_a_wake_up_from_another_process_arrives(
        self, backend: Queue, make_backend: Callable[[], Queue]
    ) -> None:
        listener = backend.listen({"queue:a"})
        with process(_wake, make_backend) as child:
            assert listener.wait(PATIENCE) == {"queue:a"}
            child.finish()

    def test_waking_after_a_listener_was_killed_works(
        self, backend: Queue, make_backend: Callable[[], Queue]
    ) -> None:
        with process(_listen, make_backend) as child:
            assert child.receive() == "listening"
            child.kill()
        listener = backend.listen({"queue:a"})
        backend.wake(["queue:a"])
        assert listener.wait(PATIENCE) == {"queue:a"}

    def test_interrupt_ends_a_running_wait_and_the_next_one(self, backend: Queue) -> None:
        listener = backend.listen({"queue:a"})
        listener.interrupt()
        assert listener.wait(PATIENCE) == frozenset()
        with _waiting(listener) as woken:
            listener.interrupt()
            assert woken.get(timeout=PATIENCE) == frozenset()

    def test_waking_never_raises_not_even_after_closing(
        self, open_client: Callable[[], Queue]
    ) -> None:
        queue = open_client()
        listener = queue.listen({"queue:a"})
        listener.close()
        listener.close()
        queue.wake(["queue:a", "queue:nobody"])
        queue.close()
        queue.close()
        queue.wake(["queue:a"])

    def test_it_answers(self, backend: Queue) -> None:
        backend.ping()

    def test_it_returns_a_broker_without_middleware_or_refuses(self, backend: Queue) -> None:
        if "ephemeral" in backend.capabilities:
            assert backend.broker().middleware == []
        else:
            with pytest.raises(CapabilityMissing):
                backend.broker()

    @pytest.mark.parametrize("silent", [False, True], ids=["nobody listens", "nobody answers"])
    def test_an_unavailable_server_is_an_error_except_for_wake_ups(
        self, make_at: Callable[[str, int], Queue], silent: bool
    ) -> None:
        with ExitStack() as servers:
            if silent:
                port = servers.enter_context(silent_server())
            else:
                with socket.create_server(("127.0.0.1", 0)) as closed:
                    port = closed.getsockname()[1]
            queue = make_at("127.0.0.1", port)
            servers.callback(queue.close)
            queue.wake(["queue:a"])
            # listen() may raise at once, or return a listener that connects later.
            with suppress(StorageUnavailable):
                assert queue.listen({"queue:a"}).wait(0) == frozenset()
            with pytest.raises(StorageUnavailable) as caught:
                queue.ping()
            assert str(port) in str(caught.value)
            if "ephemeral" in queue.capabilities:
                actor = _actor(queue.broker(), lambda *_: None)
                with pytest.raises(dramatiq.errors.BrokerConnectionError):
                    actor.send()
                with pytest.raises(StorageUnavailable):
                    queue.depth(_QUEUE)
                with pytest.raises(StorageUnavailable):
                    queue.dead_messages(10)
                with pytest.raises(StorageUnavailable):
                    queue.count_dead_messages()

    def test_messages_run_once_with_their_arguments(self, backend: Queue) -> None:
        arguments = [(number, "ü🐍", {"nested": [None, 1.5]}) for number in range(50)]
        with running(backend) as (actor, calls):
            for one in arguments:
                actor.send(*one)
            got = [calls.get(timeout=PATIENCE) for _ in arguments]
            actor.broker.join(_QUEUE, timeout=int(PATIENCE * 1000))
        assert sorted(got, key=lambda one: one[0]) == arguments
        assert calls.empty()

    def test_messages_sent_by_another_client_run(
        self, backend: Queue, open_client: Callable[[], Queue]
    ) -> None:
        need(backend, "ephemeral")
        sender = _actor(open_client().broker(), lambda *_: None)
        with running(backend) as (_, calls):
            sender.send("from afar")
            assert calls.get(timeout=PATIENCE) == ("from afar",)

    def test_a_delayed_message_blocks_no_other(self, backend: Queue) -> None:
        with running(backend) as (actor, calls):
            for number in range(50):
                actor.send_with_options(args=("late", number), delay=3_600_000)
            actor.send_with_options(args=("soon",), delay=200)
            actor.send("now")
            assert calls.get(timeout=PATIENCE) == ("now",)
            assert calls.get(timeout=PATIENCE) == ("soon",)
        assert backend.depth(_QUEUE) == 50

    def test_depth_counts_waiting_messages(self, backend: Queue) -> None:
        need(backend, "ephemeral")
        actor = _actor(backend.broker(), lambda *_: None)
        assert backend.depth(_QUEUE) == 0
        for _ in range(3):
            actor.send()
        assert backend.depth(_QUEUE) == 3

    def test_a_rejected_message_does_not_come_back(self, backend: Queue) -> None:
        need(backend, "ephemeral")
        broker = backend.broker()
        calls: SimpleQueue[Any] = SimpleQueue()
        actor = _actor(broker, lambda *args: calls.put(args))
        with _worker(broker):
            broker.enqueue(actor.message("unknown").copy(actor_name="unknown"))
            actor.send("known")
            assert calls.get(timeout=PATIENCE) == ("known",)
            broker.join(_QUEUE, timeout=int(PATIENCE * 1000))
        assert backend.depth(_QUEUE) == 0

    def test_an_undecodable_message_strands_no_other(self, backend: Queue) -> None:
        with running(backend, start=False) as (actor, calls):
            fields = actor.message("x").asdict()
            for number in range(20):
                actor.send(number)
                if number % 5 == 0:
                    actor.broker.enqueue(_Undecodable(**fields))
            with _worker(actor.broker):
                got = {calls.get(timeout=PATIENCE)[0] for _ in range(20)}
                actor.broker.join(_QUEUE, timeout=int(PATIENCE * 1000))
        assert got == set(range(20))
        assert backend.depth(_QUEUE) == 0

    def test_dead_messages_are_listed_newest_first_replayed_and_discarded(
        self, backend: Queue, open_client: Callable[[], Queue]
    ) -> None:
        need(backend, "ephemeral")
        broker, other = backend.broker(), open_client()
        calls: SimpleQueue[Any] = SimpleQueue()
        actor = _actor(broker, lambda *args: calls.put(args))
        sent = actor.message("ü🐍").copy(actor_name="unknown")
        with _worker(broker):
            broker.enqueue(sent)
            broker.enqueue(_Undecodable(**actor.message("x").asdict()))
            broker.join(_QUEUE, timeout=int(PATIENCE * 1000))
            found = {each.data: each for each in other.dead_messages(10)}
            assert set(found) == {sent.encode(), _POISON}
            assert all(each.queue == _QUEUE and each.reason for each in found.values())
            known = found[sent.encode()]
            assert other.dead_message(known.number) == known
            assert len(other.dead_messages(1)) == 1
            assert other.count_dead_messages() == 2
            assert other.replay_message(known, sent.copy(actor_name=actor.actor_name).encode())
            assert calls.get(timeout=PATIENCE) == ("ü🐍",)
        assert not other.replay_message(known, known.data)
        assert other.dead_message(known.number) is None
        poison = found[_POISON].number
        assert other.discard_message(poison)
        assert not other.discard_message(poison)
        assert other.dead_messages(10) == []

    def test_a_backend_without_messages_has_no_dead_ones(self, backend: Queue) -> None:
        if "ephemeral" in backend.capabilities:
            pytest.skip(f"{type(backend).__name__} declares ephemeral")
        assert backend.dead_messages(10) == []
        assert backend.count_dead_messages() == 0
        assert backend.dead_message(1) is None
        assert not backend.discard_message(1)

    @pytest.mark.parametrize(
        "text",
        ["", "\x00\r\n\t", "ü🐍\u2028", "x" * 5_000_000],
        ids=["empty", "control", "unicode", "5MB"],
    )
    def test_arguments_are_any_text_of_any_length(self, backend: Queue, text: str) -> None:
        with running(backend) as (actor, calls):
            actor.send(text)
            assert calls.get(timeout=PATIENCE) == (text,)

    def test_of_messages_that_are_due_the_lowest_priority_is_taken_first(
        self, backend: Queue
    ) -> None:
        need(backend, "ephemeral")
        actor = _actor(backend.broker(), lambda *_: None)

        def send(number: int, priority: int, delay: int | None = None) -> None:
            message = actor.message_with_options(args=(number,), priority=priority)
            actor.broker.enqueue(message, delay=delay)

        send(6, -9, delay=3_600_000)
        for number in (1, 2, 3):
            send(number, 100)
        send(4, 0)
        send(5, -1)
        with _consuming(actor.broker) as take:
            consumer, message = take()
            assert message.args == (5,)
            consumer.requeue([message])
            send(0, -9, delay=50)
            time.sleep(0.1)  # until the message is due
            taken = []
            for _ in range(6):
                consumer, message = take()
                taken.append(message.args[0])
                consumer.ack(message)
        assert taken == [0, 5, 4, 1, 2, 3]

    def test_a_replayed_message_has_its_priority(self, backend: Queue) -> None:
        need(backend, "ephemeral")
        actor = _actor(backend.broker(), lambda *_: None)
        actor.broker.enqueue(actor.message_with_options(args=("dead",), priority=-1))
        with _consuming(actor.broker) as take:
            consumer, message = take()
            consumer.nack(message)
            actor.send("other")
            (letter,) = backend.dead_messages(10)
            assert backend.replay_message(letter, letter.data)
            for expected in ("dead", "other"):
                consumer, message = take()
                assert message.args == (expected,)
                consumer.ack(message)

    def test_messages_run_in_the_order_of_their_sending(self, backend: Queue) -> None:
        with running(backend, start=False) as (actor, calls):
            for number in range(300):
                actor.send(number)
            with _worker(actor.broker, threads=1):
                got = [calls.get(timeout=PATIENCE)[0] for _ in range(300)]
        assert got == list(range(300))

    def test_several_workers_share_the_messages_and_each_runs_once(
        self, backend: Queue, open_client: Callable[[], Queue]
    ) -> None:
        with (
            running(backend) as (actor, calls),
            running(open_client()) as (_, others),
        ):
            for number in range(400):
                actor.send(number)
            actor.broker.join(_QUEUE, timeout=int(PATIENCE * 1000))
        got = [queue.get()[0] for queue in (calls, others) for _ in range(queue.qsize())]
        assert sorted(got) == list(range(400))

    def test_a_busy_worker_does_not_hold_messages_that_another_could_run(
        self, backend: Queue, open_client: Callable[[], Queue]
    ) -> None:
        need(backend, "ephemeral")
        go_on, started = threading.Event(), threading.Event()

        def hold(*_: Any) -> None:
            started.set()
            go_on.wait(PATIENCE)

        actor = _actor(backend.broker(), hold)
        for number in range(20):
            actor.send(number)
        with _worker(actor.broker, threads=2):
            assert started.wait(PATIENCE)
            try:
                with running(open_client()) as (_, calls):
                    got = {calls.get(timeout=PATIENCE)[0] for _ in range(10)}
            finally:
                go_on.set()
        assert len(got) == 10

    def test_a_stopped_worker_returns_messages_that_it_did_not_run(
        self, backend: Queue, open_client: Callable[[], Queue]
    ) -> None:
        need(backend, "ephemeral")
        first = backend.broker()
        started, go_on = threading.Event(), threading.Event()

        def hold(*_: Any) -> None:
            started.set()
            go_on.wait(PATIENCE)

        actor = _actor(first, hold)
        for number in range(10):
            actor.send(number)
        with _worker(first, threads=1) as worker:
            assert started.wait(PATIENCE)
            stopper = threading.Thread(target=worker.stop)
            stopper.start()
            for thread in worker.workers:
                while thread.running:
                    time.sleep(0.001)
            go_on.set()
            stopper.join()
        first.close()
        with running(open_client()) as (_, calls):
            got = {calls.get(timeout=PATIENCE)[0] for _ in range(9)}
        assert len(got) == 9

    def test_messages_of_a_killed_process_come_back(
        self,
        backend: Queue,
        open_client: Callable[[], Queue],
        make_backend: Callable[[], Queue],
    ) -> None:
        need(backend, "ephemeral", "persistent")
        sender = _actor(open_client().broker(), lambda *_: None)
        for number in range(5):
            sender.send(number)
        with process(_take_and_hold, make_backend) as child:
            assert child.receive() == "started"
            child.kill()
        with running(backend) as (_, calls):
            assert {calls.get(timeout=PATIENCE)[0] for _ in range(5)} == set(range(5))

    def test_a_message_that_no_process_died_with_is_no_suspect(self, backend: Queue) -> None:
        need(backend, "ephemeral")
        actor = _actor(backend.broker(), lambda *_: None)
        actor.send("x")
        with _consuming(actor.broker) as take:
            for _ in range(3):
                consumer, message = take()
                assert getattr(message, "crashes", None) is None
                consumer.requeue([message])
            consumer, message = take()
            consumer.ack(message)

    def test_only_deaths_count_as_crashes_and_returned_messages_do_not(
        self, backend: Queue, make_backend: Callable[[], Queue]
    ) -> None:
        need(backend, "ephemeral", "persistent")
        actor = _actor(backend.broker(), lambda *_: None)
        actor.send("x")
        with process(_take_and_hold, make_backend) as child:
            assert child.receive() == "started"
            child.kill()
        with _consuming(actor.broker) as take:
            for _ in range(3):
                consumer, message = take()
                assert message.crashes == 0
                assert message.start()
                consumer.requeue([message])
            consumer, message = take()
            assert message.crashes == 0
            consumer.ack(message)
        actor.broker.join(_QUEUE, timeout=int(PATIENCE * 1000))
        assert backend.dead_messages(10) == []

    def test_a_killing_message_is_dead_and_messages_fetched_with_it_are_not(
        self, backend: Queue, make_backend: Callable[[], Queue]
    ) -> None:
        need(backend, "ephemeral", "persistent")
        most = 1
        actor = _actor(backend.broker(), lambda *_: None)
        killer = [actor.send(number) for number in range(-2, 4)][2]
        ran: set[int] = set()
        ends: list[int] = []
        while len(ends) < most + 2 and 0 not in ends:
            with process(_run_and_die_of_zero, make_backend, most) as child:
                ran.update(child.receive_all())
                ends.append(child.exit_code())
        # The backend may miss the first crash.
        assert ends in ([-SIGKILL] * most + [0], [-SIGKILL] * (most + 1) + [0])
        assert ran == {-2, -1, 1, 2, 3}
        (letter,) = backend.dead_messages(10)
        assert letter.data == killer.encode()
        assert f"died {most} times" in letter.reason
        assert backend.replay_message(letter, letter.data)
        with _consuming(actor.broker) as take:
            consumer, message = take()
            assert message.crashes is None
            consumer.ack(message)


class _Undecodable(dramatiq.Message):  # type: ignore[type-arg]
    def encode(self) -> bytes:
        return _POISON


@contextmanager
def _consuming(broker: dramatiq.Broker) -> Iterator[Callable[[], tuple[Any, Any]]]:
    """Yield a function that returns the next message and its consumer."""
    consumer = broker.consume(_QUEUE, prefetch=1, timeout=1000)

    def take() -> tuple[Any, Any]:
        until = time.monotonic() + PATIENCE
        while (message := next(consumer)) is None:
            assert time.monotonic() < until, "no message was handed out"
        return consumer, message

    try:
        yield take
    finally:
        consumer.close()


def _all(listener: Any, count: int) -> frozenset[str]:
    """Collect wake-ups until ``count`` names arrived; backends may deliver them one by one."""
    names: frozenset[str] = frozenset()
    while len(names) < count:
        more = listener.wait(PATIENCE)
        assert more, f"only {sorted(names)} arrived"
        names |= more
    return names


@contextmanager
def _waiting(listener: Any) -> Iterator[SimpleQueue[frozenset[str]]]:
    """Wait in another thread; yield a queue that receives the result."""
    results: SimpleQueue[frozenset[str]] = SimpleQueue()
    thread = threading.Thread(target=lambda: results.put(listener.wait(PATIENCE)))
    thread.start()
    try:
        yield results
    finally:
        listener.interrupt()
        thread.join()


def _actor(broker: dramatiq.Broker, fn: Callable[..., None]) -> Any:
    return dramatiq.Actor(
        fn, broker=broker, actor_name="conform", queue_name=_QUEUE, priority=0, options={}
    )


@contextmanager
def _worker(broker: dramatiq.Broker, threads: int = 4) -> Iterator[dramatiq.Worker]:
    broker.emit_after("process_boot")
    worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=50)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


@contextmanager
def running(queue: Queue, *, start: bool = True) -> Iterator[tuple[Any, SimpleQueue[Any]]]:
    """Yield an actor and the queue of its recorded calls, with a worker that runs it."""
    need(queue, "ephemeral")
    calls: SimpleQueue[Any] = SimpleQueue()
    actor = _actor(queue.broker(), lambda *args: calls.put(args))
    if start:
        with _worker(actor.broker):
            yield actor, calls
    else:
        yield actor, calls


def _wake(channel: Connection, make_backend: Callable[[], Queue]) -> None:
    queue = make_backend()
    queue.wake(["queue:a"])
    queue.close()
    channel.close()


def _listen(channel: Connection, make_backend: Callable[[], Queue]) -> None:
    listener = make_backend().listen({"queue:a"})
    channel.send("listening")
    channel.poll(PATIENCE)
    listener.close()


def _take_and_hold(channel: Connection, make_backend: Callable[[], Queue]) -> None:
    broker = make_backend().broker()

    def hold(*_: Any) -> None:
        channel.send("started")
        threading.Event().wait(PATIENCE)

    _actor(broker, hold)
    with _worker(broker, threads=1):
        channel.poll(PATIENCE)


def _run_and_die_of_zero(
    channel: Connection, make_backend: Callable[[], Queue], max_crashes: int
) -> None:
    queue = make_backend()
    broker = queue.broker()

    def run(number: int) -> None:
        if number == 0:
            os.kill(os.getpid(), SIGKILL)
        channel.send(number)

    _actor(broker, run)
    allowed = Actor(fn=run, name="conform", durable=False, max_crashes=max_crashes)
    broker.add_middleware(PoisonMessages({allowed.name: allowed}))
    with _worker(broker, threads=1):
        broker.join(_QUEUE, timeout=int(PATIENCE * 1000))
    queue.close()
