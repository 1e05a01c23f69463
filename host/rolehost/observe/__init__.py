"""Logs, the recorders that plugins add, and the watching of processes for progress."""
