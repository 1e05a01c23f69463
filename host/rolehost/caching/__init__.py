"""Typed values in the cache: what plugins use above the storage kind ``cache``.

:class:`Caching` is one namespace of values of one type; :func:`cached` keeps the results of a
function in one. A cache that is away makes their reads misses and drops their writes, behind a
circuit breaker (:class:`Guard`) that all namespaces of a process share.
"""

from rolehost.caching.functions import CachedFunction, cached
from rolehost.caching.guard import CacheRecorder, Guard
from rolehost.caching.options import CachingKeywords, CachingOptions, SerializerName
from rolehost.caching.values import Caching

__all__ = [
    "CacheRecorder",
    "CachedFunction",
    "Caching",
    "CachingKeywords",
    "CachingOptions",
    "Guard",
    "SerializerName",
    "cached",
]
