"""The cache of rolehost on memcached."""

from __future__ import annotations
