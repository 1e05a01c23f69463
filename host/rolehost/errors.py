"""The one exception tree of the host, and the form every reported mistake takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rolehost.redaction import masked


class Who(str):
    """Plugins as messages name them, and which ones these are.

    Attributes:
        plugins: their names, as a deployment lists them.
    """

    plugins: tuple[str, ...]

    def __new__(cls, text: str, plugins: Iterable[str]) -> Who:
        """Make one of a text and the names of the plugins."""
        made = super().__new__(cls, text)
        made.plugins = tuple(plugins)
        return made

    def __reduce__(self) -> tuple[type[Who], tuple[str, tuple[str, ...]]]:
        return type(self), (str(self), self.plugins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a deployment or a plugin, told so that its reader can mend it.

    Attributes:
        code: stable kebab-case name of the kind of mistake (``unknown-plugin``).
        who: whose it is: plugin, distribution and version, or the deployment.
        where: file and line, settings key, hook, or several sites joined by ``; ``.
        what: one sentence that says what is wrong.
        expected: what would have been right.
        got: what came instead; never a secret's value.
        fix: what to do about it.
    """

    code: str
    who: str
    where: str
    what: str
    expected: str
    got: str
    fix: str

    def as_dict(self) -> dict[str, str]:
        """Return the fields as a dict of strings, for ``--json``; secrets as asterisks."""
        return {name: masked(text) for name, text in asdict(self).items()}

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.what}"]
        for label in ("who", "where", "expected", "got", "fix"):
            lines.append(f"  {label + ':':<10}{getattr(self, label)}")
        return masked("\n".join(lines))


class RolehostError(Exception):
    """Base of everything the host raises on purpose. Its text shows no secret of a deployment."""

    def __str__(self) -> str:
        return masked(super().__str__())


class ConfigurationError(RolehostError):
    """A deployment cannot be composed; carries every :class:`Problem` found, not the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SettingRefused(RolehostError):
    """A setting of a plugin that may be so elsewhere, and not in this deployment.

    Raised by a declaring hook that sees it, best by ``context.environment``: a default that suits
    a laptop and would be a hole in production. ``check`` and ``run`` refuse the deployment, and
    say whose the setting is and where it stands; it is the operator's mistake, so no
    ``[on_failure]`` leaves the plugin out for it. Since plugin API 2.

    Args:
        setting: key in the plugin's section, ``token``.
        what: one sentence that says what is wrong.
        expected: what would be right, in this environment.
        got: what is there; never a secret's value.
        fix: what to do, and the way out for those to whom the danger is none.
    """

    def __init__(self, setting: str, what: str, *, expected: str, got: str, fix: str) -> None:
        super().__init__(what)
        self.setting = setting
        self.expected = expected
        self.got = got
        self.fix = fix


class StartError(RolehostError):
    """A checked deployment cannot start here: port in use, database locked, unreadable file.

    The message is one line. One that a plugin raises is shown after the plugin's name,
    distribution and version.
    """


class StorageError(RolehostError):
    """Base of what a storage backend raises.

    Args:
        message: one line: backend, setting, what was expected, what came, how to mend it; never
            a secret.
        backend: name of the backend (``postgres``); None where it is not known.
        setting: what to look at, as it stands in the deployment file (``[postgres] url``).
    """

    def __init__(
        self, message: str = "", *, backend: str | None = None, setting: str | None = None
    ) -> None:
        super().__init__(message)
        self.backend = backend
        self.setting = setting
        #: The service database object that raised this, set by the host. None for any other
        #: storage. Only the absence of the service database leaves an attempt uncounted.
        self.origin: object | None = None


class DatabaseMisused(StorageError):
    """The service database was used where it must not be; nothing was written.

    For example on the event loop of the ``http`` role, by another thread than the one that a
    unit of work belongs to, or through a unit of work that has ended. The message names the
    code and the correct way. Since plugin API 2.
    """


class TransactionAborted(StorageError):
    """A statement of the transaction had failed, so the database undid all of it.

    A backend raises it at the commit, when the author caught the statement's own error. Since
    plugin API 2.
    """


class StorageUnavailable(StorageError):
    """The backend cannot be reached or is full for now; the same call may succeed later.

    No such host (its name may come), a refused connection, a time-out, a server that starts up.
    A process waits for it.
    """


class StorageRefused(StorageUnavailable):
    """The server was reached and refuses what the deployment says; waiting cannot help.

    Wrong password, no such database, TLS not spoken or not trusted, a version too old, a topic
    missing under ``verify``. Only a process that is starting ends because of it, with the status
    of a wrong configuration. To one that runs already it is an outage like any other, hence the
    base class: it keeps what it holds, is unready and tries again.
    """


class StorageBusy(StorageUnavailable):
    """The backend is reached but another writer holds what is needed (a lock timeout)."""


class ValueRefused(StorageError, ValueError):
    """The database cannot hold a value: NUL in a text, a number out of range, and the like.

    The statement had no effect. In the role ``http`` it is the client's mistake: 422.
    """


class CapabilityMissing(StorageError):
    """The backend does not declare the capability that the call needs."""


class DeliveryError(RolehostError):
    """Base of what the delivery contract raises."""


class LeaseLost(DeliveryError):
    """The row is held by someone else now: the fencing token is stale, nothing was written."""


class UnitOfWorkFailed(DeliveryError):
    """A part of the unit of work failed and its error was caught, so it cannot be committed.

    The message names the place and the type of the first error. Everything was rolled back.
    Since plugin API 2.
    """


class UndeclaredError(DeliveryError):
    """A plugin enqueued or published what it did not declare in its :class:`PluginInfo`."""


class UnknownActor(DeliveryError):
    """No actor of that name is known to this deployment."""


class PayloadError(DeliveryError):
    """Arguments or a payload cannot be encoded, or do not fit the declared type."""


class Overloaded(RolehostError):
    """Too many calls wait for a thread of this process; the same call may succeed later.

    The ``http`` role answers it with 503. Since plugin API 2.
    """


class IdempotencyConflict(DeliveryError):
    """The idempotency key was used before with another request body."""


class IdempotencyInProgress(DeliveryError):
    """Another request with the same idempotency key is running at this moment."""
