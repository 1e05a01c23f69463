from __future__ import annotations

from rolehost_postgres.payloads import payloads, token, tokens_of


def test_names_are_merged_into_one_payload() -> None:
    (payload,) = payloads(["queue:a", "topic:b", "outbox"])
    assert tokens_of(payload) == {"queue:a", "topic:b", "outbox"}


def test_no_payload_is_longer_than_the_server_takes_and_no_name_is_lost() -> None:
    names = [f"queue:{number}:ü{'x' * 150}" for number in range(500)]
    made = list(payloads(names))
    assert all(len(each.encode()) < 8000 for each in made)
    assert frozenset().union(*map(tokens_of, made)) == set(names)


def test_a_name_that_does_not_fit_travels_as_its_digest() -> None:
    for name in ("queue:" + "x" * 10_000, "two\nlines", "nul\0"):
        assert len(token(name)) < 60
        assert token(name) == token(name) != token(name + "y")
