"""Typed values in the cache, for plugins; built on the storage kind ``cache``.

:class:`Caching` is one namespace of values of one type; :func:`cached` caches the results of a
function in a namespace. If the cache is unavailable, reads are misses and writes are dropped. All
namespaces of a process share a circuit breaker (:class:`CircuitBreaker`).
"""

from rolehost.caching.breaker import CacheRecorder, CircuitBreaker
from rolehost.caching.functions import CachedFunction, cached
from rolehost.caching.options import CachingKeywords, CachingOptions, SerializerName
from rolehost.caching.values import Caching

__all__ = [
    "CacheRecorder",
    "CachedFunction",
    "Caching",
    "CachingKeywords",
    "CachingOptions",
    "CircuitBreaker",
    "SerializerName",
    "cached",
]
