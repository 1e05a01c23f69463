"""The Redis backends of rolehost: cache and queue."""

from __future__ import annotations
