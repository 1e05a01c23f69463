"""Entries; every effect is a row."""
