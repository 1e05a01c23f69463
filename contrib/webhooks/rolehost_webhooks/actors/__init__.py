"""Background work, one actor a module: fan out, deliver, retention, recover."""

#: The queue in which all of it waits.
QUEUE = "webhooks"
