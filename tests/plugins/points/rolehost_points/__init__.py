"""Two plugins of which one adds a hook that the other implements."""
