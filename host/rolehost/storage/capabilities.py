"""The capabilities that backends declare and plugins require.

A plugin requires a kind and capabilities of it, for example ``"cache[ttl,atomic-incr]"``.
Composition refuses a deployment if its backend does not declare them, before anything runs.
"""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["database", "cache", "queue", "stream"]

#: The storage kinds, in the order in which a process opens them; it closes them in reverse.
KINDS: tuple[Kind, ...] = get_args(Kind)

#: Every capability a backend of a kind may declare, with its meaning.
CAPABILITIES: dict[Kind, dict[str, str]] = {
    "database": {
        "transactions": "several statements commit together or not at all",
        "skip-locked": "concurrent claims skip rows that another transaction holds",
        "multi-host": "processes on several machines may use it at once",
        "persistent": "survives the end of every process",
    },
    "cache": {
        "ttl": "an entry may expire by itself",
        "atomic-add": "add() stores only when the key is absent, atomically",
        "atomic-incr": "incr() is atomic among all users of the cache",
        "touch": "the time to live of an entry can be changed without its value",
        "tags": "entries can be dropped by a tag that they were stored with",
        "rate-limit": "hits are counted against a limit, atomically among all users",
        "locks": "locks that expire, each lease with a higher token than the last",
        "lru": "the least recently used entry leaves first when the cache is full",
        "shared": "all processes of the deployment see the same entries",
        "multi-host": "processes on several machines may use it at once",
    },
    "queue": {
        "wake-up": "a waiting process is woken without polling",
        "ephemeral": "carries messages of actors that are not durable",
        "multi-host": "processes on several machines may use it at once",
        "persistent": "messages survive the end of every process",
    },
    "stream": {
        "ordered-by-key": "records of one key are delivered in the order of their publication",
        "consumer-groups": "each group reads every record once, shared among its members",
        "wake-up": "a waiting subscription is woken without polling",
        "retention": "old records are dropped by age or size",
        "multi-host": "processes on several machines may use it at once",
        "persistent": "records survive the end of every process",
    },
}
