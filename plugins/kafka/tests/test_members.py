from __future__ import annotations

import os
import subprocess
import sys

from rolehost_kafka.members import is_departed, member_name


def ended() -> int:
    """Return the pid of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_member_of_this_process_has_not_departed() -> None:
    assert not is_departed(member_name("our-client"))


def test_a_member_of_a_process_that_has_ended_here_has_departed() -> None:
    here = member_name("our-client").rpartition("-")[0]
    assert is_departed(f"{here}-{ended()}")


def test_nothing_is_known_of_other_machines_and_other_clients() -> None:
    assert not is_departed(f"our-client-0123456789ab-{ended()}")
    assert not is_departed("rdkafka")
    assert not is_departed(f"{member_name('c').rpartition('-')[0]}-x")


def test_a_process_of_somebody_else_is_alive() -> None:
    here = member_name("c").rpartition("-")[0]
    assert not is_departed(f"{here}-1")
    assert not is_departed(f"{here}-{os.getppid()}")
