"""SQL migrations of the tables of the plugin."""
