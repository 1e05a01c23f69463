"""Create a certificate authority for tests, with certificates of a server and a client."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from rolehost_testing.services.places import program

#: The common name in the client's certificate; also the name of the user in engines with users.
CLIENT = "rolehost"

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key as PEM files, valid for one day.

    Attributes:
        certificate: the certificate.
        key: the private key, readable only by its owner.
    """

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificates for a server with TLS.

    Attributes:
        authority: PEM file of the certificate authority, which server and client trust.
        server: certificate for ``127.0.0.1`` and ``localhost``.
        client: certificate with the common name :data:`CLIENT`.
    """

    authority: Path
    server: Pair
    client: Pair


def make(folder: Path) -> Certificates:
    """Create an authority and the certificates of a server and a client, with openssl.

    Args:
        folder: the folder for the files.

    Raises:
        Missing: ``openssl`` is not installed.
    """
    authority, authority_key = folder / "ca.pem", folder / "ca.key"
    # RFC 5280 requires these extensions of an authority; Python 3.13 and later checks them.
    _openssl("req", "-x509", *_CURVE, "-days", "1", "-subj", "/CN=rolehost tests",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign",
             "-keyout", authority_key, "-out", authority)  # fmt: skip

    def issue(who: str, name: str, *more: str) -> Pair:
        made = Pair(folder / f"{who}.pem", folder / f"{who}.key")
        _openssl("req", "-x509", *_CURVE, "-days", "1", "-subj", f"/CN={name}",
                 "-addext", "basicConstraints=critical,CA:FALSE", *more,
                 "-CA", authority, "-CAkey", authority_key,
                 "-keyout", made.key, "-out", made.certificate)  # fmt: skip
        made.key.chmod(0o600)
        return made

    places = ("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    return Certificates(authority, issue("server", "localhost", *places), issue("client", CLIENT))


def _openssl(*arguments: str | Path) -> None:
    command = [program("openssl", "openssl"), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
