"""Commands that inspect deployments, and checks of several deployments that run together.

The package itself imports nothing, because ``rolehost --help`` imports it to find its commands.
"""
