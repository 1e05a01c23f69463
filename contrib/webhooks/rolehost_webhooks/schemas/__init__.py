"""Bodies and query parameters of the HTTP API, in camelCase as Svix's clients send them.

``…In`` are request bodies, ``…Patch`` the same with optional fields only, ``…Out`` answers.
"""
