from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pymemcache.client.base import check_key_helper
from rolehost_memcached.keys import MAX_KEY, encode

PREFIX = "n" * 40 + ".0123456789ab"
KEYS = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=200)


@given(KEYS)
def test_any_key_of_the_host_is_one_that_memcached_takes(key: str) -> None:
    encoded = encode(PREFIX, key)
    assert len(encoded) <= MAX_KEY
    check_key_helper(encoded, False, b"")


@given(KEYS, KEYS)
def test_two_keys_never_meet(one: str, two: str) -> None:
    assert (encode(PREFIX, one) == encode(PREFIX, two)) == (one == two)


def test_plain_keys_stay_readable() -> None:
    assert encode("app", "user:42/name") == "app=user:42/name"
