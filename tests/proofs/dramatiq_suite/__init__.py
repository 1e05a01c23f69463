"""Runs Dramatiq's own tests against the ledger; part of ``dramatiq-fidelity``."""
