"""The role ``worker``: Dramatiq's worker threads over the jobs ledger."""

from rolehost.roles.worker.role import run

__all__ = ["run"]
