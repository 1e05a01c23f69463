"""The reference plugin: every hook once."""
