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

#: Unix time of KSUID's own zero, seconds.
EPOCH = 1_400_000_000

#: The times that an id can hold, Unix milliseconds; the last is in the year 2150.
EARLIEST = EPOCH * 1000
LATEST = (EPOCH + 0xFFFF_FFFF) * 1000 + 999

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LENGTH = 27
RANDOM_BYTES = 15

#: Random bytes of the distance to the highest id: enough that no two are equal, and so few that a
#: million ids in a row stay within one step of time.
STEP_BYTES = 10


def new(prefix: str, services: Services) -> str:
    """Return a new id made of the services' clock and random source."""
    return prefix + ksuid(services.clock.now(), services.random.randbytes(RANDOM_BYTES))


def first_at(prefix: str, milliseconds: int) -> str:
    """Return the smallest id that something created at this time can have."""
    return prefix + ksuid(milliseconds, bytes(RANDOM_BYTES))


def last_at(prefix: str, milliseconds: int) -> str:
    """Return the greatest id that something created at this time can have."""
    return prefix + ksuid(milliseconds, b"\xff" * RANDOM_BYTES)


def above(identity: str, highest: str | None, step: int) -> str:
    """Return an id if it is above the highest one, else the one ``step`` after that.

    Args:
        identity: the id that was made.
        highest: the highest existing id, or None.
        step: a random number from 1 up. Two writers that see the same highest id at the same
            moment must not get the same id.
    """
    if highest is None or identity > highest:
        return identity
    prefix = identity[:-LENGTH]
    number = 0
    for digit in highest[-LENGTH:]:
        number = number * 62 + ALPHABET.index(digit)
    return prefix + _encoded(number + step)


def ksuid(milliseconds: int, payload: bytes) -> str:
    """Encode a time (milliseconds since the Unix epoch) and fifteen bytes.

    A time outside of the range of four bytes becomes the nearest one inside.
    """
    seconds, rest = divmod(min(max(milliseconds, EARLIEST), LATEST), 1000)
    stamp = (seconds - EPOCH).to_bytes(4, "big") + bytes([rest // 4])
    return _encoded(int.from_bytes(stamp + payload, "big"))


def _encoded(number: int) -> str:
    digits = []
    for _ in range(LENGTH):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
