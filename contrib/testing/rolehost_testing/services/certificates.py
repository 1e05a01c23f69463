"""An authority of a test's own, and its certificates: of a server, and of who calls it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from rolehost_testing.services.places import program

#: The name in the certificate of a client; that of the user in the engines that have one.
CLIENT = "rolehost"

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Pair:
    """PEM files of one end of a connection, good for a day.

    Attributes:
        certificate: what it shows.
        key: readable by its owner alone.
    """

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """Who trusts whom where a server speaks TLS.

    Attributes:
        authority: PEM file of what both ends trust.
        server: for ``127.0.0.1`` and ``localhost``.
        client: its common name is :data:`CLIENT`.
    """

    authority: Path
    server: Pair
    client: Pair


def make(folder: Path) -> Certificates:
    """Make an authority and the certificates of a server and a client, with openssl.

    Args:
        folder: that gets the files.

    Raises:
        Missing: there is no ``openssl``.
    """
    authority, authority_key = folder / "ca.pem", folder / "ca.key"
    # What RFC 5280 asks of an authority, and Python from 3.13 on checks.
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
