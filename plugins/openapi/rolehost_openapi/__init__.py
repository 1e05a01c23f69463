"""OpenAPI 3.1 document of a deployment's routes, and a page to read it offline."""
