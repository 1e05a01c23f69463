"""The delivery contract: the service database holds all work that must survive a crash.

- ``runtime``: the collaborators that all other modules share.
- ``guard``, ``guarded``: rules for the use of the database. ``work``, ``scopes``: units of work.
- ``ledger``, ``jobs``: durable jobs. ``runner``: their attempts, and how these end. ``groups``,
  ``members``: several attempts in one transaction.
- ``claims``, ``partitions``, ``changes``, ``limits``, ``limitstore``: which jobs a process takes.
- ``outbox``, ``relay``: events to the stream. ``inbox``, ``handling``: events from the stream.
- ``deadletters``, ``administration``: lists and actions for operators.
- ``leases``, ``sweep``, ``ticks``: leases, takeover from dead processes, schedules.

The roles pass in clock, random source, database and wake-ups, and call each step. This package
starts no thread. So a simulation can run all of it.
"""
