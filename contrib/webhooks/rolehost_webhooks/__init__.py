"""Webhook delivery: three plugins of one package, so that roles can be split.

``webhooks-api`` takes messages over HTTP, ``webhooks-ingest`` takes them from a stream,
``webhooks-delivery`` signs, sends and retries them. To read the code in the order of the data
flow: schemas → routes and handlers → domain → repositories and models → actors → delivery.
"""

__version__ = "0.1.0"
