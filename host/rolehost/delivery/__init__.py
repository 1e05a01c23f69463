"""The delivery contract: all work that must survive is in the service database.

- ``runtime``: the collaborators that all other modules share.
- ``guard``, ``guarded``: rules for the use of the database. ``work``, ``scopes``: units of work.
- ``ledger``: durable jobs. ``runner``: their attempts, and how these end.
- ``outbox``, ``relay``: events to the stream. ``inbox``, ``handling``: events from the stream.
- ``deadletters``, ``administration``: lists and actions for operators.
- ``leases``, ``sweep``, ``ticks``: the duties of processes, and the takeover from dead ones.

Clock, random source, database and wake-ups come from outside, the roles call each step, and no
thread is started here, so that a simulation can run all of it.
"""
