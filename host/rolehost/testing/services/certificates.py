"""An authority of a test's own, and a certificate of it for 127.0.0.1 and localhost."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from rolehost.testing.services.places import program

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files of a server with TLS.

    Attributes:
        authority: what clients trust.
        certificate: of the server, for ``127.0.0.1`` and ``localhost``, for a day.
        key: of the server, readable by its owner alone.
    """

    authority: Path
    certificate: Path
    key: Path


def make(folder: Path) -> Certificates:
    """Make an authority and a server's certificate, with openssl.

    Args:
        folder: that gets the files.

    Raises:
        Missing: there is no ``openssl``.
    """
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    authority_key = folder / "ca.key"
    # What RFC 5280 asks of an authority, and Python from 3.13 on checks.
    _openssl("req", "-x509", *_CURVE, "-days", "1", "-subj", "/CN=rolehost tests",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign",
             "-keyout", authority_key, "-out", made.authority)  # fmt: skip
    _openssl("req", "-x509", *_CURVE, "-days", "1", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
             "-addext", "basicConstraints=critical,CA:FALSE",
             "-CA", made.authority, "-CAkey", authority_key,
             "-keyout", made.key, "-out", made.certificate)  # fmt: skip
    made.key.chmod(0o600)
    return made


def _openssl(*arguments: str | Path) -> None:
    command = [program("openssl", "openssl"), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
