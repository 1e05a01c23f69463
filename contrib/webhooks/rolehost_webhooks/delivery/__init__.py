"""Sending one signed request: the pooled client, the guard of addresses, the verdict after it."""
