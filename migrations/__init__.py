"""The host's own SQL files."""
