"""Ids: a prefix and a KSUID of 27 base-62 digits, so that ids sort by time of creation.

The layout is the millisecond variant of Segment's KSUID, as Svix's servers use it: four bytes
of seconds since 2014-05-13, one byte of 4-millisecond steps, fifteen random bytes.
"""

from __future__ import annotations

from rolehost.api import Services

APPLICATION = "app_"
ENDPOINT = "ep_"
MESSAGE = "msg_"
ATTEMPT = "atmpt_"
TASK = "qtask_"

#: KSUID's epoch in Unix seconds.
EPOCH = 1_400_000_000

#: The range of times that an id can hold in Unix milliseconds; the last is in the year 2150.
EARLIEST = EPOCH * 1000
LATEST = (EPOCH + 0xFFFF_FFFF) * 1000 + 999

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LENGTH = 27
RANDOM_BYTES = 15

#: Number of random bytes in the distance to the highest id. It is large enough to avoid
#: collisions, and small enough that a million consecutive ids stay within one time step.
STEP_BYTES = 10


def new(prefix: str, services: Services) -> str:
    """Return a new id from the clock and the random source of the services."""
    return prefix + ksuid(services.clock.now(), services.random.randbytes(RANDOM_BYTES))


def first_at(prefix: str, milliseconds: int) -> str:
    """Return the smallest id for this creation time."""
    return prefix + ksuid(milliseconds, bytes(RANDOM_BYTES))


def last_at(prefix: str, milliseconds: int) -> str:
    """Return the greatest id for this creation time."""
    return prefix + ksuid(milliseconds, b"\xff" * RANDOM_BYTES)


def above(identity: str, highest: str | None, step: int) -> str:
    """Return ``identity`` if it is above ``highest``, else the id ``step`` after ``highest``.

    Args:
        identity: the new id.
        highest: the highest existing id, or None.
        step: a random number of at least 1, so that two writers that see the same highest id
            do not get the same new id.
    """
    if highest is None or identity > highest:
        return identity
    prefix = identity[:-LENGTH]
    number = 0
    for digit in highest[-LENGTH:]:
        number = number * 62 + ALPHABET.index(digit)
    return prefix + _encode(number + step)


def ksuid(milliseconds: int, payload: bytes) -> str:
    """Encode a time (milliseconds since the Unix epoch) and fifteen bytes.

    A time outside the range of four bytes is replaced by the nearest valid time.
    """
    seconds, rest = divmod(min(max(milliseconds, EARLIEST), LATEST), 1000)
    stamp = (seconds - EPOCH).to_bytes(4, "big") + bytes([rest // 4])
    return _encode(int.from_bytes(stamp + payload, "big"))


def _encode(number: int) -> str:
    digits = []
    for _ in range(LENGTH):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
