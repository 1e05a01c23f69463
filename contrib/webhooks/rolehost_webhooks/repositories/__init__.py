"""SQL statements, one module for each table. The rules are in ``domain``.

Each function runs in the session of the calling thread, and in its unit of work if one is open.
"""
