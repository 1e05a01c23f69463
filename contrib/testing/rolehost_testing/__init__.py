"""Fixtures and conformance suites for tests of plugins and backends.

pytest provides the fixtures of :mod:`rolehost_testing.pytest_plugin` without an import. Tests of
a backend subclass a class of :mod:`rolehost_testing.conformance`.
"""
