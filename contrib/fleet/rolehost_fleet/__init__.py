"""Several deployments that run together: composed each, then checked against each other.

Nothing is connected to: a fleet is made of files and of what plugins declare. This package
imports nothing by itself, because ``rolehost --help`` imports it to find its commands.
"""
