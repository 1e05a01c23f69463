"""How a role process ends: exit handlers of libraries run only if the libraries are idle."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit
import threading
from rolehost.roles.serving import PING_THREAD, exit_process

asking = {asking}
atexit.register(print, "libraries end")
if asking:
    threading.Thread(target=threading.Event().wait, name=PING_THREAD, daemon=True).start()
print("reported")
exit_process({status})
"""


QUIETLY, AS_EVER = "reported\n", "reported\nlibraries end\n"


@pytest.mark.parametrize(
    ("asking", "status", "expected"),
    [(True, 0, QUIETLY), (True, 3, QUIETLY), (False, 3, QUIETLY), (False, 0, AS_EVER)],
)
def test_exit_handlers_are_skipped_during_a_backend_check_and_after_a_failed_start(
    asking: bool, status: int, expected: str
) -> None:
    program = PROGRAM.format(asking=asking, status=status)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (status, expected)
