"""The three plugins: only their hook implementations."""
