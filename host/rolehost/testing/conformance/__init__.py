"""Conformance suites: what every backend of a kind must do, whoever wrote it."""
