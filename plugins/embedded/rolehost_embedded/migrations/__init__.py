"""SQL files of the embedded stream."""
