"""The roles of processes: http, worker, consumer and scheduler."""
