"""PostgreSQL from PATH or Debian's folder, with an optional standby."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from rolehost_testing.services import certificates, places
from rolehost_testing.services.guarded import environment
from rolehost_testing.services.places import Missing
from rolehost_testing.services.server import Server, StartFailed

USER = DATABASE = "rolehost"

_PROGRAMS = ("postgres", "initdb", "pg_basebackup", "pg_isready", "psql")


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs: from PATH, or Debian's newest version.

    Raises:
        Missing: PostgreSQL is not installed.
    """
    return places.folder(_PROGRAMS, "PostgreSQL", "postgresql")


def account() -> str | None:
    """Return the user for PostgreSQL, which refuses root; None means the current user.

    Raises:
        Missing: the current user is root, and there is no user ``postgres``.
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise Missing("PostgreSQL does not run as root, and there is no user postgres") from None


class _Postgres(Server):
    name = "postgres"
    fast = signal.SIGINT
    at_once = signal.SIGQUIT

    def __init__(self, password: str | None, parameters: Mapping[str, object]) -> None:
        self._binaries = binaries()
        self._account = account()
        super().__init__()
        self.password = password
        self.authority: Path | None = None
        self.client: certificates.Pair | None = None
        self._parameters = dict(parameters)
        self._own(self.folder)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def url(self) -> str:
        """``postgresql://rolehost[:PASSWORD]@127.0.0.1:PORT/rolehost``; with TLS, verified."""
        login = f"{USER}:{quote(self.password, safe='')}" if self.password else USER
        url = f"postgresql://{login}@127.0.0.1:{self.port}/{DATABASE}"
        if self.authority is None:
            return url
        return f"{url}?sslmode=verify-full&sslrootcert={self.authority}"

    def _user(self) -> str | None:
        return self._account

    def _own(self, *paths: Path) -> None:
        if self._account is not None:
            for path in paths:
                shutil.chown(path, self._account, self._account)

    def _tool(self, name: str, *arguments: str | Path, say: str = "") -> None:
        """Run one of PostgreSQL's programs.

        Raises:
            StartFailed: the program failed.
        """
        done = subprocess.run(
            [self._binaries / name, *arguments],
            input=say,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env={**environment(self.folder), "PGPASSWORD": self.password or ""},
            user=self._account,
            group=self._account,
            extra_groups=[] if self._account else None,
            check=False,
        )
        if done.returncode:
            raise StartFailed(f"PostgreSQL's {name} failed:\n{done.stdout[-2000:]}")

    def _command(self) -> list[str | Path]:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            **self._parameters,
        }
        options = [f"--{key}={_text(value)}" for key, value in settings.items()]
        return [self._binaries / "postgres", "-D", self.data, *options]

    def _answers(self) -> bool:
        asked: list[str | Path] = [
            self._binaries / "pg_isready",
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
        ]
        return subprocess.run(asked, env=environment(self.folder), check=False).returncode == 0


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


class Postgres(_Postgres):
    """A separate PostgreSQL with database ``rolehost`` and superuser ``rolehost``.

    Attributes:
        standby: a second server that replicates this one and answers reads, or None.
        authority: PEM file of the certificate authority; None without TLS.
        client: certificate of a client; None without TLS.
    """

    def __init__(
        self,
        *,
        standby: bool = False,
        password: str | None = None,
        tls: bool = False,
        client_certificates: bool = False,
        parameters: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(password, parameters or {})
        self._with_standby = standby
        self.standby: Standby | None = None
        try:
            self._initialize()
            if tls:
                self._serve_tls(client_certificates)
        except BaseException:
            self.close()
            raise

    def _initialize(self) -> None:
        method = "scram-sha-256" if self.password else "trust"
        file = self.folder / "password"
        file.write_text(f"{self.password or ''}\n", "utf-8")
        self._own(file)
        secret = [f"--pwfile={file}"] if self.password else []
        self._tool("initdb", "-D", self.data, "-U", USER, f"--auth={method}", "--no-sync",
                   "--no-instructions", "--encoding=UTF8", "--locale=C", *secret)  # fmt: skip
        file.unlink()
        self._tool("postgres", "--single", "-F", "-D", self.data, "postgres",
                   say=f"CREATE DATABASE {DATABASE}\n")  # fmt: skip

    def _serve_tls(self, client_certificates: bool) -> None:
        made = certificates.make(self.folder)
        self.authority, self.client = made.authority, made.client
        # If this is root, give the files to PostgreSQL's user; the folder is private.
        self._own(made.authority, made.server.certificate, made.server.key)
        self._parameters |= {
            "ssl": "on",
            "ssl_cert_file": made.server.certificate,
            "ssl_key_file": made.server.key,
            "ssl_ca_file": made.authority,
        }
        method = "scram-sha-256" if self.password else "trust"
        if client_certificates:
            method += " clientcert=verify-full"
        (self.data / "pg_hba.conf").write_text(
            f"hostssl all all 127.0.0.1/32 {method}\n"
            f"hostssl replication all 127.0.0.1/32 {method}\n",
            "utf-8",
        )

    def run(self) -> None:
        """Start the server, and create its standby if requested and missing."""
        super().run()
        if self._with_standby and self.standby is None:
            self.standby = Standby(self)
            self.standby.run()

    def close(self) -> None:
        """Close the server and its standby."""
        if self.standby is not None:
            self.standby.close()
        super().close()


class Standby(_Postgres):
    """A hot standby that streams from its primary, with the same parameters."""

    def __init__(self, primary: Postgres) -> None:
        super().__init__(primary.password, primary._parameters)
        self.authority = primary.authority
        try:
            # The URL has the TLS mode, and the password that the standby stores.
            self._tool("pg_basebackup", "-d", primary.url, "-D", self.data,
                       "-R", "--checkpoint=fast", "--no-sync")  # fmt: skip
        except BaseException:
            self.close()
            raise
