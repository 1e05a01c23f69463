"""The SQL files of the entries plugins."""
