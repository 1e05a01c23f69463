"""Commands that operate jobs, dead letters, limits and schedules.

The package itself imports nothing, because ``rolehost --help`` imports it to find its commands.
"""
