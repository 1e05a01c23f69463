"""The end of a role process, also of one that never came to its start."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import NoReturn

#: Name of the threads that ask a backend, and that nobody waits for once the process is to end.
ASKING = "asks storage"


def leave(status: int) -> NoReturn:
    """End this process.

    Python waits for no daemon thread, and knows nothing of the threads of C libraries, before it
    comes to the exit handlers of these. OpenSSL's frees what a thread reads that is just making a
    connection, librdkafka's for instance, and the process dies of SIGSEGV. So they are left out
    where a backend is still asked, and where a start failed, after which nothing is closed.

    Args:
        status: the exit status; 0: it has run, or was told to stop before.
    """
    if status or any(thread.name == ASKING for thread in threading.enumerate()):
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)
    sys.exit(status)
