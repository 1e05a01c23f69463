"""The common part of all storage backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple


class ServerInfo(NamedTuple):
    """The answer of :meth:`StorageClient.server_info`; for ``rolehost doctor`` alone.

    Attributes:
        version: product and version, ``Redis 8.0.3``.
        now: the server's clock, in milliseconds since the epoch; None if it is not known.
    """

    version: str
    now: int | None = None


class StorageClient(ABC):
    """Base of :class:`Database`, :class:`Cache`, :class:`Queue` and :class:`Stream`."""

    @abstractmethod
    def ping(self) -> None:
        """Return when the storage answers.

        Raises:
            StorageUnavailable: it does not answer; waiting may help.
            StorageRefused: it refuses the settings of the deployment.
        """

    def server_info(self) -> ServerInfo | None:
        """Ask the server for its version and clock; None, the default, if there is no server.

        Raises:
            StorageUnavailable: the server does not answer.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """Flush and close everything. Idempotent, never raises."""
