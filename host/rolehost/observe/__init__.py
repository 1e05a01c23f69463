"""Logs, and the recorders that plugins add to see the host's work."""
