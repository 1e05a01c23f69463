"""OpenAPI 3.1 document of a deployment's routes, and an offline page that shows it."""
