"""Generate new packages from templates, for ``rolehost new``.

The templates are files in ``templates``. Rendering replaces the three spellings of the name
(``acme-name``, ``acme_name``, ``AcmeName``) and marks, for example ``@summary@``. In file names
it removes the suffix ``.tmpl`` and replaces the prefix ``dot_`` with a dot.
"""

from rolehost_testing.scaffold.deployments import Unknown, check_text, deployment
from rolehost_testing.scaffold.names import InvalidName, Name
from rolehost_testing.scaffold.packages import BACKENDS, LICENSES, Options, backend, plugin
from rolehost_testing.scaffold.writing import Files, write

__all__ = [
    "BACKENDS",
    "LICENSES",
    "Files",
    "InvalidName",
    "Name",
    "Options",
    "Unknown",
    "backend",
    "check_text",
    "deployment",
    "plugin",
    "write",
]
