"""Runs the Dramatiq actors of an existing code base as durable jobs.

The actors, their options, ``send()``, pipelines, groups, results and middleware stay as they are. A
message becomes a job in the service database: it is sent with the transaction of its sender, and
retried by the ledger. See the README of this distribution.
"""

from rolehost_dramatiq.actors import DramatiqActors

__all__ = ["DramatiqActors"]
