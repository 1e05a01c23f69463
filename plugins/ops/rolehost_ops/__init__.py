"""Health, readiness and Prometheus metrics of a deployment."""
