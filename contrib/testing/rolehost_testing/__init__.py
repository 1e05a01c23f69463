"""What tests of plugins and backends use: fixtures and conformance suites.

The fixtures of :mod:`rolehost_testing.pytest_plugin` are there without an import; a backend's
suite subclasses a class of :mod:`rolehost_testing.conformance`.
"""
