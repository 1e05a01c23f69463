"""The http role: a Falcon ASGI application on gunicorn's asgi worker."""
