"""The SQL files of the reference plugin."""
