"""Logs, the recorders that plugins add, and the watchdog's view of processes."""
