"""Deployment files: TOML with includes, references and overrides, read into typed settings.

:func:`load` is what a process calls; :func:`read` returns what could be read together with
every mistake, so that a check can go on and report the composition's mistakes too.
"""

from rolehost.deployment.decode import decode, fields_of
from rolehost.deployment.model import Deployment, HostSettings, HttpSettings, Origin
from rolehost.deployment.reading import HOST_SECTIONS, load, read
from rolehost.deployment.sources import Sources
from rolehost.deployment.wording import describe_type, describe_value, redacted, secrets_in

__all__ = [
    "HOST_SECTIONS",
    "Deployment",
    "HostSettings",
    "HttpSettings",
    "Origin",
    "Sources",
    "decode",
    "describe_type",
    "describe_value",
    "fields_of",
    "load",
    "read",
    "redacted",
    "secrets_in",
]
