"""Entries whose every effect is a row."""
