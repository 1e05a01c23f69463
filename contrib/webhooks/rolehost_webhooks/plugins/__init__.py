"""The three plugins, with their contributions only."""
