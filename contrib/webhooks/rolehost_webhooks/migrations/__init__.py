"""SQL of the tables of all three plugins."""
