"""Webhook delivery: three plugins of one package, so that roles can be split.

``webhooks-api`` takes messages over HTTP, ``webhooks-ingest`` takes them from a stream,
``webhooks-delivery`` signs, sends and retries them. Read it in the order in which data meets
it: schemas → routes and handlers → services → repositories and models → actors → delivery.
"""

__version__ = "0.1.0"
