"""The worker role: threads that run durable jobs and ephemeral messages."""
