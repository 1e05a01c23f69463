"""The command line. Each command is imported when it is called.

Listings go to standard output, sorted; with ``--json`` as one JSON document. Problems go to
standard error. The exit statuses stand in :mod:`rolehost.cli.exits`.
"""
