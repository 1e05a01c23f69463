"""PostgreSQL as the service database, and as a queue that wakes by LISTEN and NOTIFY."""

from __future__ import annotations
