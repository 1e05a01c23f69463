"""The folder that the processes of one deployment on one machine share."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from rolehost.deployment.model import Deployment
from rolehost.errors import StartError
from rolehost.private import NotPrivate, private_folder


def runtime_place(deployment: Deployment) -> Path:
    """Return where the deployment's folder is, below the runtime directory of the user.

    The name holds a hash of the deployment file's path, or of the working directory when there
    is no file, so that two checkouts do not meet.
    """
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    origin = str((deployment.path or Path.cwd()).resolve())
    mark = hashlib.sha256(f"{os.getuid()} {origin}".encode()).hexdigest()[:12]
    return base / f"rolehost-{deployment.name}-{mark}"


def runtime_directory(deployment: Deployment) -> Path:
    """Return the deployment's folder, see :func:`runtime_place`, made when it is missing.

    Raises:
        StartError: it belongs to somebody else, or cannot be made.
    """
    folder = runtime_place(deployment)
    try:
        return private_folder(folder)
    except NotPrivate as error:
        raise NotPrivate(f"runtime directory {error}") from None
    except OSError as error:
        raise StartError(f"runtime directory {folder}: {error.strerror}") from None
