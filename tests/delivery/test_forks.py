"""Children that the author's code forks keep nothing of the host's process."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import atexit, multiprocessing, os, signal, sys, threading, time
from rolehost.delivery import forks

def noticed(*_):
    pass

reading, writing = os.pipe()
os.set_blocking(writing, False)
os.set_blocking(reading, False)
signal.signal(signal.SIGTERM, noticed)
signal.signal(signal.SIGINT, noticed)
signal.set_wakeup_fd(writing)
parent = os.getpid()
atexit.register(lambda: print("exit handler", os.getpid() == parent, flush=True))
if {arm}:
    forks.reset_in_children()

def status(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def forked(function):
    pid = os.fork()
    if pid == 0:
        function()
    return pid

def work():
    context = multiprocessing.get_context("fork")
    child = context.Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join(10)
    print("terminated", child.exitcode)
    child.kill()
    def interrupted():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        except KeyboardInterrupt:
            os._exit(5)
    print("interrupted", status(forked(interrupted)))

def returns():
    return forked(lambda: None)

def exits():
    return forked(lambda: sys.exit(3))

def finalizes():
    # Leaves by the interpreter's own end, as a script does.
    def end():
        os.close(1)
        os.dup2(2, 1)
        atexit._run_exitfuncs()
        os._exit(0)
    return forked(end)

def raises():
    return forked(lambda: 1 / 0)

def thread():
    if {arm}:
        work()
    for function in (returns, exits, raises, finalizes):
        print(function.__name__, status(forks.call_exiting_forks(function)))

it = threading.Thread(target=thread)
it.start()
it.join()
try:
    print("woken", len(os.read(reading, 10)))
except BlockingIOError:
    print("woken", 0)
print("goes on", os.getpid() == parent, signal.getsignal(signal.SIGTERM) is noticed, flush=True)
"""


def run(arm: bool) -> tuple[list[str], str]:
    program = PROGRAM.replace("{arm}", str(arm))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines(), done.stderr


def test_a_forked_child_has_default_signals_no_exit_handlers_and_ends_where_it_returns() -> None:
    out, error = run(arm=True)
    assert out == [
        "terminated -15",
        "interrupted 5",
        "returns 0",
        "exits 3",
        "raises 1",
        "finalizes 0",
        "woken 0",
        "goes on True True",
        "exit handler True",
    ]
    assert "ZeroDivisionError" in error
    assert "exit handler" not in error


def test_a_process_that_is_not_armed_forks_as_ever() -> None:
    out, error = run(arm=False)
    assert out[:2] == ["returns 0", "exits 3"]
    assert "exit handler False" in error
