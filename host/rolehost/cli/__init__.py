"""The command line: one module a command, each imported when it is called.

Exit status of every command:

====  ==========================================================================
0     done; for ``check`` and ``why``: it holds, it is on
1     a check does not hold, what was asked for is not there, or a command failed
2     wrong usage: unknown command, option or argument
3     the deployment or a plugin is wrong, every mistake is told; or a backend refuses it
4     the deployment is right but cannot start here: port, database, file
5     ``run``: no enabled plugin contributes anything that could run
130   interrupted
====  ==========================================================================

Listings go to standard output, sorted; with ``--json`` as one JSON document. Mistakes go to
standard error.
"""
