"""Background jobs, one module for each actor: fan out, deliver, retention, recover."""

#: The queue of all these jobs.
QUEUE = "webhooks"
