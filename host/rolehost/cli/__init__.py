"""The command line. Each command is imported when it is called.

Listings are sorted and go to standard output, with ``--json`` as one JSON document. Problems go
to standard error. :mod:`rolehost.cli.exits` has the exit statuses.
"""
