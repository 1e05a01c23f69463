"""The delivery contract: everything that must survive, in the service database.

Unit of work, jobs ledger, outbox, inbox, dead letters, leases. The runtime takes clock, random
source, database and wake-ups from outside, is driven step by step by the roles, and starts no
thread of its own, so that a simulation can run it.
"""
