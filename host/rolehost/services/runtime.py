"""The runtime directory: a folder that the processes of a deployment on one machine share."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from rolehost.deployment.model import Deployment
from rolehost.errors import StartError
from rolehost.private import NotPrivate, private_folder


def runtime_path(deployment: Deployment) -> Path:
    """Return the path of the deployment's folder, in ``XDG_RUNTIME_DIR`` or the temporary folder.

    The name contains a hash of the user and of the path of the deployment file, or of the working
    directory if there is no file, so that two checkouts do not share a folder.
    """
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    origin = str((deployment.path or Path.cwd()).resolve())
    mark = hashlib.sha256(f"{os.getuid()} {origin}".encode()).hexdigest()[:12]
    return base / f"rolehost-{deployment.name}-{mark}"


def runtime_directory(deployment: Deployment) -> Path:
    """Return :func:`runtime_path`, created if missing; StartError if it cannot be used."""
    folder = runtime_path(deployment)
    try:
        return private_folder(folder)
    except NotPrivate as error:
        raise NotPrivate(f"runtime directory {error}") from None
    except OSError as error:
        raise StartError(f"runtime directory {folder}: {error.strerror}") from None
