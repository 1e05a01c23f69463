"""New packages from templates: what ``rolehost new`` writes.

The templates are files below ``templates``; the text of each is taken as it is, but for three
words that stand for the name in its three spellings (``acme-name``, ``acme_name``, ``AcmeName``)
and for marks such as ``@summary@``. The end ``.tmpl`` of a file's name and ``dot_`` at its
beginning, for a dot, are taken away.
"""

from rolehost_testing.scaffold.deployments import Unknown, deployment, mistakes
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
    "deployment",
    "mistakes",
    "plugin",
    "write",
]
