"""The exceptions of the host, and the form of every reported problem."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rolehost.redaction import masked


class SettingLocation(str):
    """A source location in a message, with the dotted keys of the settings that it is about."""

    settings: tuple[str, ...]

    def __new__(cls, text: str, settings: Iterable[str]) -> SettingLocation:
        """Make an instance from a text and the keys of the settings."""
        made = super().__new__(cls, text)
        made.settings = tuple(settings)
        return made

    def __reduce__(self) -> tuple[type[SettingLocation], tuple[str, tuple[str, ...]]]:
        return type(self), (str(self), self.settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One error in a deployment or a plugin, with everything that is needed to fix it.

    Attributes:
        code: stable name of the kind of error, in kebab case, for example ``unknown-plugin``.
        who: plugin with distribution and version, or the deployment.
        where: file and line, settings key or hook; several locations are joined by ``; ``.
        what: one sentence that describes the error.
        expected: the right value or state.
        got: the actual value or state; never the value of a secret.
        fix: an instruction.
    """

    code: str
    who: str
    where: str
    what: str
    expected: str
    got: str
    fix: str

    def as_dict(self) -> dict[str, str]:
        """Return the fields as a dict of strings, for ``--json``, with secrets as asterisks."""
        return {name: masked(text) for name, text in asdict(self).items()}

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.what}"]
        for label in ("who", "where", "expected", "got", "fix"):
            lines.append(f"  {label + ':':<10}{getattr(self, label)}")
        return masked("\n".join(lines))


class RolehostError(Exception):
    """Base class of the host's exceptions. Its text never shows a secret of a deployment."""

    def __str__(self) -> str:
        return masked(super().__str__())


class ConfigurationError(RolehostError):
    """A deployment cannot be composed. ``problems`` has every :class:`Problem` that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SettingRefused(RolehostError):
    """A setting of a plugin is valid, but not allowed in this deployment.

    A declaring hook raises it, for example if ``context.environment`` is ``production`` and a
    default is safe only on a laptop. ``check`` and ``run`` then refuse the deployment and name the
    plugin and the location of the setting. It is an error of the operator, so ``[on_failure]``
    does not leave the plugin out. Since plugin API 2.

    Args:
        setting: key in the section of the plugin, for example ``token``.
        what: one sentence that describes the error.
        expected: the right value in this environment.
        got: the actual value; never the value of a secret.
        fix: an instruction, and how to accept the risk on purpose.
    """

    def __init__(self, setting: str, what: str, *, expected: str, got: str, fix: str) -> None:
        super().__init__(what)
        self.setting = setting
        self.expected = expected
        self.got = got
        self.fix = fix


class StartError(RolehostError):
    """A valid deployment cannot start here, for example because a port is in use.

    The message is one line. If a plugin raises it, the host adds the plugin's name, distribution
    and version.
    """


class StorageError(RolehostError):
    """Base class of the errors of storage backends.

    Args:
        message: one line with backend, setting, expected, got and fix; never a secret.
        backend: name of the backend, for example ``postgres``; None: unknown.
        setting: the setting to look at, for example ``[postgres] url``; None: unknown.
    """

    def __init__(
        self, message: str = "", *, backend: str | None = None, setting: str | None = None
    ) -> None:
        super().__init__(message)
        self.backend = backend
        self.setting = setting
        #: The service database that raised the error, set by the host; None for other storage.
        #: An attempt at a job or event does not count if the service database is unavailable, and
        #: only then.
        self.origin: object | None = None


class DatabaseMisused(StorageError):
    """The service database was used in a place where this is not allowed. Nothing was written.

    Examples: on the event loop of the ``http`` role, in another thread than the unit of work, or
    through a unit of work that has ended. The message names the code and the fix. Since plugin
    API 2.
    """


class TransactionAborted(StorageError):
    """A statement of the transaction failed, so the database rolled back the transaction.

    If the error of the statement was caught, a backend raises this error at the commit. Since
    plugin API 2.
    """


class StorageUnavailable(StorageError):
    """The backend cannot be reached, or is full. The same call may succeed later.

    Examples: an unknown host, a refused connection, a timeout, a server that is starting. A
    process waits until the backend is available.
    """


class StorageRefused(StorageUnavailable):
    """The server can be reached and refuses the settings of the deployment, so waiting is useless.

    Examples: a wrong password, an unknown database, a TLS error, a version that is too old, or a
    topic that is missing and must not be created. A process that is starting ends with the exit
    status of a wrong configuration. A running process treats the error as an outage (hence the base
    class): it keeps its work, is unready, and tries again.
    """


class StorageBusy(StorageUnavailable):
    """The backend can be reached, but another writer did not release a lock in time."""


class ValueRefused(StorageError, ValueError):
    """The database cannot store a value, for example a text with NUL or a number out of range.

    The statement had no effect. The ``http`` role answers with 422.
    """


class CapabilityMissing(StorageError):
    """The call needs a capability that the backend does not declare."""


class DeliveryError(RolehostError):
    """Base class of the errors of the delivery contract."""


class LeaseLost(DeliveryError):
    """Another process has the job now: the fencing token is stale. Nothing was written."""


class UnitOfWorkFailed(DeliveryError):
    """An inner block of the unit of work failed and its error was caught. Nothing was committed.

    The message names the location and the type of the first error. Since plugin API 2.
    """


class UndeclaredError(DeliveryError):
    """A plugin used an actor, a topic or a metric that no ``PluginInfo`` declares."""


class UnknownActor(DeliveryError):
    """The deployment has no actor with this name."""


class PayloadError(DeliveryError):
    """Arguments or a payload have the wrong type, or cannot be encoded."""


class Overloaded(RolehostError):
    """Too many calls wait for a thread of this process. The same call may succeed later.

    The ``http`` role answers with 503. Since plugin API 2.
    """


class IdempotencyConflict(DeliveryError):
    """The idempotency key was used before, with another request."""


class IdempotencyInProgress(DeliveryError):
    """Another request with the same idempotency key is running."""
