"""The conformance suite of ``cache`` backends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from rolehost.errors import CapabilityMissing, StorageError, StorageUnavailable
from rolehost.storage import CAPABILITIES, Cache, Lease

from rolehost_testing.conformance.clients import BackendSuite, in_threads, need

#: Every method that calls the server, as a function of a client.
CALLS: dict[str, Callable[[Cache], object]] = {
    "get": lambda cache: cache.get("key"),
    "set": lambda cache: cache.set("key", b"value"),
    "add": lambda cache: cache.add("key", b"value"),
    "delete": lambda cache: cache.delete("key"),
    "get_many": lambda cache: cache.get_many(["key"]),
    "set_many": lambda cache: cache.set_many({"key": b"value"}),
    "incr": lambda cache: cache.incr("key"),
    "touch": lambda cache: cache.touch("key", 1),
    "clear": lambda cache: cache.clear(),
    "ping": lambda cache: cache.ping(),
    "set_tagged": lambda cache: cache.set_tagged("key", b"value", ["tag"]),
    "drop_tagged": lambda cache: cache.drop_tagged(["tag"]),
    "hit": lambda cache: cache.hit("name", 1, 60),
    "lock": lambda cache: cache.lock("name", 60),
    "renew": lambda cache: cache.renew(Lease("name", 1), 60),
    "release": lambda cache: cache.release(Lease("name", 1)),
}

#: The calls that require a capability.
NEEDED = {
    "add": "atomic-add",
    "incr": "atomic-incr",
    "touch": "touch",
    "set_tagged": "tags",
    "drop_tagged": "tags",
    "hit": "rate-limit",
    "lock": "locks",
    "renew": "locks",
    "release": "locks",
}


class CacheConformance(BackendSuite[Cache]):
    """Subclass it and override ``make_backend``; also ``advance`` if the clock is a fake.

    If the backend has a server, also override ``make_at``. If it limits the size of values, also
    override ``largest``.
    """

    @pytest.fixture
    def make_at(self) -> Callable[[str, int], Cache]:
        """A function that makes a client for a host and port, with timeouts below 0.5 s."""
        pytest.skip("this backend has no server")

    @pytest.fixture
    def largest(self) -> int | None:
        """Maximum size of a value in bytes; None if there is no limit small enough to test."""
        return None

    @pytest.fixture
    def advance(self) -> Callable[[float], None]:
        """A function that advances the cache's time by a number of seconds."""
        return time.sleep

    def test_declares_known_capabilities(self, backend: Cache) -> None:
        assert backend.capabilities <= set(CAPABILITIES["cache"])

    @pytest.mark.parametrize(
        "value", [b"", b"\x00", bytes(range(256)), "ä🐍".encode(), b"x" * 200_000], ids=len
    )
    def test_values_come_back_as_they_went_in(self, backend: Cache, value: bytes) -> None:
        backend.set("key", value)
        assert backend.get("key") == value

    @pytest.mark.parametrize("key", ["a", "k" * 200, "ключ:🐍", "with space", "a/b?c=d&e%20"])
    def test_any_printable_key_works(self, backend: Cache, key: str) -> None:
        backend.set(key, b"value")
        assert backend.get(key) == b"value"
        assert backend.get_many([key]) == {key: b"value"}
        assert backend.delete(key)

    @pytest.mark.parametrize("key", ["", "k" * 201, "line\nbreak", "nul\x00"])
    def test_other_keys_are_refused(self, backend: Cache, key: str) -> None:
        with pytest.raises(ValueError):
            backend.get(key)
        with pytest.raises(ValueError):
            backend.set(key, b"value")

    def test_an_absent_key_is_none(self, backend: Cache) -> None:
        assert backend.get("absent") is None

    def test_setting_replaces(self, backend: Cache) -> None:
        backend.set("key", b"one")
        backend.set("key", b"two")
        assert backend.get("key") == b"two"

    def test_delete_returns_whether_the_key_existed(self, backend: Cache) -> None:
        backend.set("key", b"value")
        assert backend.delete("key")
        assert not backend.delete("key")
        assert backend.get("key") is None

    def test_many_at_once(self, backend: Cache) -> None:
        backend.set_many({"a": b"1", "b": b"2", "c": b""})
        assert backend.get_many(["a", "b", "c", "d"]) == {"a": b"1", "b": b"2", "c": b""}
        assert backend.get_many([]) == {}
        backend.set_many({})

    def test_a_great_many_at_once(self, backend: Cache) -> None:
        values = {f"key {number}": b"%d" % number for number in range(1000)}
        backend.set_many(values)
        assert backend.get_many(iter(values)) == values

    def test_a_value_of_the_largest_size_fits_and_a_larger_one_is_refused(
        self, backend: Cache, largest: int | None
    ) -> None:
        if largest is None:
            pytest.skip(f"{type(backend).__name__} bounds no value")
        backend.set("key", b"x" * largest)
        assert backend.get("key") == b"x" * largest
        with pytest.raises(StorageError) as caught:
            backend.set("other", b"x" * (largest + 1))
        assert not isinstance(caught.value, StorageUnavailable)
        with pytest.raises(StorageError):
            backend.set_many({"other": b"x" * (largest + 1)})
        assert backend.get("other") is None

    def test_values_are_never_mixed_among_threads(self, backend: Cache) -> None:
        values = [bytes([letter]) * 5000 for letter in b"abcd"]
        strange: list[object] = []

        def work(number: int) -> None:
            own = f"own {number}"
            for _ in range(50):
                backend.set("same", values[number])
                backend.set(own, values[number])
                found = backend.get_many(["same", own])
                if found[own] != values[number] or found["same"] not in values:
                    strange.append(found)

        in_threads(4, work)
        assert not strange

    def test_clearing_drops_everything(self, backend: Cache) -> None:
        backend.set_many({"a": b"1", "b": b"2"})
        backend.clear()
        assert backend.get_many(["a", "b"]) == {}

    @pytest.mark.parametrize("name", NEEDED)
    def test_what_is_not_declared_is_refused(self, backend: Cache, name: str) -> None:
        if NEEDED[name] in backend.capabilities:
            pytest.skip(f"{type(backend).__name__} declares {NEEDED[name]}")
        with pytest.raises(CapabilityMissing, match=NEEDED[name]):
            CALLS[name](backend)

    def test_add_stores_only_absent_keys(self, backend: Cache) -> None:
        need(backend, "atomic-add")
        assert backend.add("key", b"one")
        assert not backend.add("key", b"two")
        assert backend.get("key") == b"one"

    def test_of_threads_that_add_one_key_one_stores(self, backend: Cache) -> None:
        need(backend, "atomic-add")
        stored: list[int] = []
        in_threads(
            8, lambda number: stored.append(number) if backend.add("key", b"%d" % number) else None
        )
        assert len(stored) == 1
        assert backend.get("key") == b"%d" % stored[0]

    def test_counters_start_at_nothing_and_go_both_ways(self, backend: Cache) -> None:
        need(backend, "atomic-incr")
        assert backend.incr("n") == 1
        assert backend.incr("n", 10) == 11
        assert backend.incr("n", -15) == -4
        assert backend.get("n") == b"-4"
        backend.set("n", b"41")
        assert backend.incr("n") == 42

    @pytest.mark.parametrize("value", [b"", b"text", b"1.5", b" 1", b"\xff"])
    def test_incr_refuses_a_value_that_is_not_a_number(self, backend: Cache, value: bytes) -> None:
        need(backend, "atomic-incr")
        backend.set("n", value)
        with pytest.raises(ValueError):
            backend.incr("n")
        assert backend.get("n") == value

    def test_threads_that_count_lose_nothing(self, backend: Cache) -> None:
        need(backend, "atomic-incr")
        in_threads(4, lambda _: [backend.incr("n") for _ in range(100)])
        assert backend.get("n") == b"400"

    def test_an_entry_expires(self, backend: Cache, advance: Callable[[float], None]) -> None:
        need(backend, "ttl")
        backend.set("short", b"1", ttl=1)
        backend.set("long", b"2", ttl=100)
        backend.set("ever", b"3")
        backend.set_many({"many": b"4"}, ttl=1)
        advance(1.5)
        assert backend.get("short") is None
        assert backend.get_many(["many", "long", "ever"]) == {"long": b"2", "ever": b"3"}
        assert not backend.delete("short")

    def test_set_replaces_the_time_to_live(
        self, backend: Cache, advance: Callable[[float], None]
    ) -> None:
        need(backend, "ttl")
        backend.set("key", b"1", ttl=1)
        backend.set("key", b"2")
        advance(1.5)
        assert backend.get("key") == b"2"

    def test_an_expired_key_can_be_added(
        self, backend: Cache, advance: Callable[[float], None]
    ) -> None:
        need(backend, "ttl", "atomic-add")
        assert backend.add("key", b"1", ttl=1)
        advance(1.5)
        assert backend.add("key", b"2")

    def test_only_the_first_count_sets_the_time_to_live(
        self, backend: Cache, advance: Callable[[float], None]
    ) -> None:
        need(backend, "ttl", "atomic-incr")
        backend.incr("n", ttl=2)
        advance(1.0)
        assert backend.incr("n", ttl=100) == 2
        advance(1.5)
        assert backend.get("n") is None
        assert backend.incr("n") == 1

    def test_touch_replaces_the_time_to_live(
        self, backend: Cache, advance: Callable[[float], None]
    ) -> None:
        need(backend, "touch")
        backend.set("longer", b"1", ttl=1)
        backend.set("shorter", b"2")
        backend.set("ever", b"3", ttl=1)
        assert backend.touch("longer", 100)
        assert backend.touch("shorter", 1)
        assert backend.touch("ever", None)
        assert not backend.touch("absent", 1)
        advance(1.5)
        assert backend.get_many(["longer", "shorter", "ever"]) == {"longer": b"1", "ever": b"3"}

    @pytest.mark.parametrize("ttl", [0, -1, -0.5, float("nan")])
    def test_a_time_to_live_must_be_positive(self, backend: Cache, ttl: float) -> None:
        with pytest.raises(ValueError):
            backend.set("key", b"value", ttl=ttl)
        with pytest.raises(ValueError):
            backend.set_many({"key": b"value"}, ttl=ttl)
        assert backend.get("key") is None

    def test_every_client_sees_a_shared_cache(self, open_client: Callable[[], Cache]) -> None:
        one, two = open_client(), open_client()
        need(one, "shared")
        one.set("key", b"value")
        assert two.get("key") == b"value"

    def test_it_answers_and_closes_twice(self, open_client: Callable[[], Cache]) -> None:
        cache = open_client()
        cache.ping()
        cache.close()
        cache.close()

    @pytest.mark.parametrize("name", CALLS)
    def test_every_call_raises_if_no_server_listens(
        self, make_at: Callable[[str, int], Cache], name: str
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self._unavailable(make_at("127.0.0.1", port), name, port)

    @pytest.mark.parametrize("name", CALLS)
    def test_a_server_that_never_answers_is_a_timeout(
        self, make_at: Callable[[str, int], Cache], name: str
    ) -> None:
        with silent_server() as port:
            self._unavailable(make_at("127.0.0.1", port), name, port)

    @staticmethod
    def _unavailable(cache: Cache, name: str, port: int) -> None:
        capability = NEEDED.get(name)
        refused = capability is not None and capability not in cache.capabilities
        with pytest.raises(CapabilityMissing if refused else StorageUnavailable) as caught:
            CALLS[name](cache)
        assert refused or str(port) in str(caught.value)
        assert "\n" not in str(caught.value)
        cache.close()

    def test_entries_are_dropped_by_tag(self, backend: Cache) -> None:
        need(backend, "tags")
        backend.set_tagged("a", b"1", ["red", "römisch 1"])
        backend.set_tagged("b", b"2", ["red"])
        backend.set_tagged("c", b"3", ["blue"])
        backend.set("d", b"4")
        assert backend.get_many("abcd") == {"a": b"1", "b": b"2", "c": b"3", "d": b"4"}
        assert backend.drop_tagged(["red", "römisch 1", "nobody's"]) == 2
        assert backend.get_many("abcd") == {"c": b"3", "d": b"4"}
        assert backend.drop_tagged(["red"]) == 0
        assert backend.drop_tagged([]) == 0

    def test_a_tagged_entry_expires_and_is_stored_anew(
        self, backend: Cache, advance: Callable[[float], None]
    ) -> None:
        need(backend, "tags", "ttl")
        backend.set_tagged("key", b"1", ["tag"], ttl=0.5)
        backend.set_tagged("other", b"1", ["tag"], ttl=100)
        advance(0.8)
        assert backend.get("key") is None
        backend.set_tagged("key", b"2", ["tag"])
        assert backend.get("key") == b"2"
        assert backend.drop_tagged(["tag"]) == 2

    def test_an_entry_whose_life_was_made_longer_keeps_its_tags(
        self, backend: Cache, advance: Callable[[float], None]
    ) -> None:
        need(backend, "tags", "ttl", "touch")
        backend.set_tagged("key", b"1", ["tag"], ttl=1)
        backend.set_tagged("other", b"1", ["tag"], ttl=1)
        assert backend.touch("key", 100)
        advance(1.3)
        backend.set_tagged("third", b"1", ["tag"], ttl=100)
        assert backend.get("key") == b"1"
        assert backend.drop_tagged(["tag"]) == 2
        assert backend.get_many(["key", "third"]) == {}

    def test_clearing_drops_tagged_entries_too(self, backend: Cache) -> None:
        need(backend, "tags")
        backend.set_tagged("key", b"1", ["tag"])
        backend.clear()
        assert backend.get("key") is None
        assert backend.drop_tagged(["tag"]) == 0

    def test_hits_are_allowed_up_to_the_limit(self, backend: Cache) -> None:
        need(backend, "rate-limit")
        answers = [backend.hit("name", 3, 3600) for _ in range(4)]
        assert [answer.allowed for answer in answers] == [True, True, True, False]
        assert [answer.remaining for answer in answers] == [2, 1, 0, 0]
        assert [answer.retry_after for answer in answers[:3]] == [0.0, 0.0, 0.0]
        assert 1000 < answers[3].retry_after <= 1200
        assert backend.hit("another", 3, 3600).allowed

    def test_a_refused_call_does_not_count_towards_the_limit(
        self, backend: Cache, advance: Callable[[float], None]
    ) -> None:
        need(backend, "rate-limit")
        for _ in range(2):
            assert backend.hit("name", 2, 4).allowed
        refused = [backend.hit("name", 2, 4) for _ in range(5)][-1]
        assert not refused.allowed
        advance(refused.retry_after + 0.005)
        assert backend.hit("name", 2, 4).allowed

    def test_a_hit_may_count_for_several_all_or_none(self, backend: Cache) -> None:
        need(backend, "rate-limit")
        assert backend.hit("name", 10, 3600, cost=7).remaining == 3
        refused = backend.hit("name", 10, 3600, cost=4)
        assert (refused.allowed, refused.remaining) == (False, 3)
        assert backend.hit("name", 10, 3600, cost=3) == (True, 0, 0.0)

    def test_threads_together_get_no_more_than_the_limit(
        self, open_client: Callable[[], Cache]
    ) -> None:
        clients = [open_client(), open_client()]
        need(clients[0], "rate-limit")
        if "shared" not in clients[0].capabilities:
            clients[1] = clients[0]
        allowed: list[bool] = []
        in_threads(
            4,
            lambda number: allowed.extend(
                clients[number % 2].hit("name", 25, 3600).allowed for _ in range(20)
            ),
        )
        assert sum(allowed) == 25

    @pytest.mark.parametrize(
        ("limit", "period", "cost"), [(0, 1, 1), (1, 0, 1), (1, -1, 1), (2, 1, 0), (2, 1, 3)]
    )
    def test_an_invalid_limit_is_refused(
        self, backend: Cache, limit: int, period: float, cost: int
    ) -> None:
        need(backend, "rate-limit")
        with pytest.raises(ValueError):
            backend.hit("name", limit, period, cost)

    def test_of_threads_that_lock_one_gets_it(self, backend: Cache) -> None:
        need(backend, "locks")
        leases: list[Lease | None] = []
        in_threads(8, lambda _: leases.append(backend.lock("name", 60)))
        assert sum(lease is not None for lease in leases) == 1
        assert backend.lock("another", 60)

    def test_a_released_lock_is_free_and_the_next_token_higher(self, backend: Cache) -> None:
        need(backend, "locks")
        tokens = []
        for _ in range(20):
            lease = backend.lock("name", 60)
            assert lease is not None
            assert lease.name == "name"
            tokens.append(lease.token)
            assert backend.release(lease)
            assert not backend.release(lease)
        assert tokens == sorted(set(tokens))

    def test_a_lock_that_ended_is_another_s_and_the_late_holder_cannot_touch_it(
        self, backend: Cache, advance: Callable[[float], None]
    ) -> None:
        need(backend, "locks")
        late = backend.lock("name", 0.3)
        assert late is not None
        advance(0.5)
        lease = backend.lock("name", 60)
        assert lease is not None
        assert lease.token > late.token
        assert not backend.renew(late, 60)
        assert not backend.release(late)
        assert backend.lock("name", 60) is None
        assert backend.release(lease)

    def test_a_renewed_lock_is_held_on(
        self, backend: Cache, advance: Callable[[float], None]
    ) -> None:
        need(backend, "locks")
        lease = backend.lock("name", 1)
        assert lease is not None
        assert backend.renew(lease, 60)
        advance(1.3)
        assert backend.lock("name", 60) is None
        assert backend.release(lease)

    def test_clearing_leaves_limits_and_locks(self, backend: Cache) -> None:
        need(backend, "rate-limit", "locks")
        lease = backend.lock("name", 60)
        assert lease is not None
        backend.hit("name", 1, 3600)
        backend.set("name", b"value")
        backend.clear()
        assert not backend.hit("name", 1, 3600).allowed
        assert backend.release(lease)

    def test_another_client_respects_a_lock(self, open_client: Callable[[], Cache]) -> None:
        one, two = open_client(), open_client()
        need(one, "locks", "shared")
        lease = one.lock("name", 60)
        assert lease is not None
        assert two.lock("name", 60) is None
        assert one.release(lease)
        following = two.lock("name", 60)
        assert following is not None
        assert following.token > lease.token


@contextmanager
def silent_server() -> Iterator[int]:
    """Listen on a port of 127.0.0.1, accept every connection, and never answer."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                accepted.append(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in accepted:
        connection.close()
