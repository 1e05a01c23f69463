"""The host's own SQL: ledger, outbox, inbox, dead letters, leases, presence."""
