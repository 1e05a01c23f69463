"""Sending one signed request: the pooled client, the address guard and the verdict."""
