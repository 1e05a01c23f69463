"""Fixtures for every test suite that has rolehost installed; loaded by pytest itself.

Imports nothing of the host: a plugin's suite pays for what it uses.
"""

from __future__ import annotations

import socket

import pytest

pytest.register_assert_rewrite("rolehost.testing.conformance")


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback address that nothing listened on a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
