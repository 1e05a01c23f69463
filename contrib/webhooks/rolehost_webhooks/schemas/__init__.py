"""Bodies and query parameters of the HTTP API, in camelCase as Svix's clients send them.

``…In`` is what is sent, ``…Patch`` the same with every field optional, ``…Out`` what comes
back.
"""
