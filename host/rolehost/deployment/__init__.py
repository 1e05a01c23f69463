"""Deployment files: TOML with includes, references and overrides, read into typed settings.

A process calls :func:`load`. ``rolehost check`` calls :func:`read`, which returns the deployment
with every problem, so that the problems of the composition can be reported too.
"""

from rolehost.deployment.decode import decode, decode_section, fields_of, table_of
from rolehost.deployment.describe import describe_type, redacted
from rolehost.deployment.files import Sources
from rolehost.deployment.model import Deployment, HostSettings, HttpSettings, Origin
from rolehost.deployment.reading import FAILURES, HOST_SECTIONS, load, read
from rolehost.deployment.references import secrets_in

__all__ = [
    "FAILURES",
    "HOST_SECTIONS",
    "Deployment",
    "HostSettings",
    "HttpSettings",
    "Origin",
    "Sources",
    "decode",
    "decode_section",
    "describe_type",
    "fields_of",
    "load",
    "read",
    "redacted",
    "secrets_in",
    "table_of",
]
