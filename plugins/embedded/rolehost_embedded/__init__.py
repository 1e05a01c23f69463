"""Storage without a server: SQLite database, queue and stream, and a cache in the process."""

from __future__ import annotations
