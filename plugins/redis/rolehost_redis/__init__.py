"""The Redis backends of rolehost: cache, and wake-ups of the queue."""

from __future__ import annotations
