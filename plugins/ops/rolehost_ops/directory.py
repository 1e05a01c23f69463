"""The directory of metric files, which all processes write and ``/metrics`` merges.

Each process has one file for each type of metric, for example ``counter_PID.db``, in the format
of prometheus-client. The counts of dead processes are merged into one file, so that counters
never decrease and the number of files does not grow. The gauges of dead processes are dropped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rolehost.api import NotPrivate, Services, StartError, private_file, safe_folder

from rolehost_ops.settings import OpsSettings

#: Replaces the process id in the name of the file with the counts of dead processes.
PAST = "past"

_LOCK = "lock"
_JOURNAL = "journal.json"


def metrics_directory(settings: OpsSettings, services: Services) -> Path:
    """Return the directory of metric files, the same in all processes of the deployment."""
    if settings.metrics_dir is not None:
        return Path(settings.metrics_dir)
    return services.runtime_directory / "metrics"


class Journal(msgspec.Struct, frozen=True):
    """The steps of a compaction, so that it can be completed after a crash without double counts.

    Attributes:
        renames: name of the new file → its final name.
        removes: names of the files whose values are in the new files.
    """

    renames: dict[str, str]
    removes: list[str]


class MetricFiles:
    """The metric files of a deployment.

    Args:
        path: the directory; if it is missing, it is created for the current user only.

    Raises:
        StartError: the directory cannot be created, or other users can replace its files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            safe_folder(path)
        except NotPrivate as error:
            raise StartError(f"[ops] metrics_dir: {error}") from None
        except OSError as error:
            raise StartError(f"[ops] metrics_dir: cannot make {path}: {error.strerror}") from None

    def all(self) -> list[Path]:
        """Return the files that are not empty; a file is empty while it is created."""
        return [file for file in sorted(self.path.glob("*.db")) if file.stat().st_size > 0]

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """Merge the files of dead processes, and lock out other compactions until the context ends.

        Read the files inside this context: values may be counted twice during a compaction.
        """
        with os.fdopen(private_file(self.path / _LOCK), "r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._replay()
            self._compact()
            yield

    def _compact(self) -> None:
        """Merge the files of dead processes into the files named :data:`PAST`."""
        removes: list[str] = []
        sources: dict[str, list[Path]] = defaultdict(list)
        for file in self.all():
            kind, _, owner = file.stem.rpartition("_")
            if not owner.isdecimal() or _alive(int(owner)):
                continue
            removes.append(file.name)
            if not kind.startswith("gauge"):
                sources[kind].append(file)
        if not removes:
            return
        renames = {}
        for kind, files in sources.items():
            past = self.path / f"{kind}_{PAST}.db"
            new = past.with_suffix(".new")
            _add_up([*files, past] if past.exists() else files, new)
            renames[new.name] = past.name
        self._write_journal(Journal(renames, removes))
        self._replay()

    def _write_journal(self, journal: Journal) -> None:
        draft = self.path / f"{_JOURNAL}.draft"
        draft.unlink(missing_ok=True)
        with os.fdopen(private_file(draft), "wb") as output:
            output.write(msgspec.json.encode(journal))
        draft.replace(self.path / _JOURNAL)

    def _replay(self) -> None:
        """Complete the compaction in the journal. Idempotent."""
        path = self.path / _JOURNAL
        if not path.exists():
            return
        journal = msgspec.json.decode(path.read_bytes(), type=Journal)
        for name in journal.removes:
            (self.path / name).unlink(missing_ok=True)
        for new, name in journal.renames.items():
            # If the file is missing, it was renamed before the crash.
            with contextlib.suppress(FileNotFoundError):
                (self.path / new).replace(self.path / name)
        path.unlink()


def _add_up(files: list[Path], into: Path) -> None:
    """Write the sums of the values of all files to a new file."""
    from prometheus_client.mmap_dict import MmapedDict

    from rolehost_ops.tally import mapped

    sums: dict[str, float] = defaultdict(float)
    for file in files:
        for key, value, _, _ in MmapedDict.read_all_values_from_file(file):  # type: ignore[no-untyped-call]
            sums[key] += value
    into.unlink(missing_ok=True)
    target = mapped(into)
    for key, value in sums.items():
        target.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    target.close()  # type: ignore[no-untyped-call]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
