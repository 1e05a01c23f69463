"""SQL migrations of the tables of all three plugins."""
