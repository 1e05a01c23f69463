"""Ends a process when its parent dies (parent-death signal), so that no orphan remains."""

from __future__ import annotations

import os
import signal
import sys

#: ``PR_SET_PDEATHSIG`` of Linux, see prctl(2).
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, signum: int = signal.SIGTERM) -> None:
    """Ask the kernel for a signal when the parent dies; call it in the child after the fork.

    The request survives ``exec``. It is bound to the *thread* that forked, so the parent must
    fork from its main thread. Only Linux has this signal; elsewhere the call does nothing, and a
    child survives its parent. ``parent`` is the process id of the parent, read before the fork.
    If the parent is dead already, the signal comes at once.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)
