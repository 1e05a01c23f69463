"""Stands for ``python -m rolehost.roles``; ``BEHAVE`` (JSON by slot) is its behaviour.

After a reload the behaviour comes from the accepted deployment.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys


def address(listener: int) -> list[object]:
    import socket  # here alone: a start should be short

    return list(socket.socket(fileno=listener).getsockname())


def beat_until_frozen(status_pipe: int, behaviour: dict[str, float]) -> None:
    """Beat as a role process does, until SIGUSR1; then only signals are handled."""
    import time

    from rolehost.roles.beats import Beats

    frozen = []
    signal.signal(signal.SIGUSR1, lambda *_: frozen.append(True))
    beats = Beats(behaviour["hang"], status_pipe)
    beats.beat("the poll loop")
    os.write(status_pipe, b"ready\n")
    while not frozen:
        beats.beat("the poll loop")
        time.sleep(beats.every / 4)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--role")
    parser.add_argument("--slot")
    parser.add_argument("--incarnation", type=int)
    given, _ = parser.parse_known_args()
    name = f"{given.role}.{given.slot}"
    behave = json.loads(os.environ.get("BEHAVE", "{}"))
    sources = os.environ.get("ROLEHOST_SOURCES_FD")
    if sources:
        behave = json.loads(os.pread(int(sources), 65_536, 0))
    behaviour = behave.get(name, {})

    def tell(event: str, **fields: object) -> None:
        line = {"event": event, "child": name, "pid": os.getpid(), **fields}
        os.write(2, json.dumps(line).encode() + b"\n")

    def stop(number: int, _frame: object) -> None:
        tell("reported to stop", signal=signal.Signals(number).name)
        if not behaviour.get("stubborn"):
            tell("ended")
            os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGUSR1, stop)
    status_pipe = int(os.environ["ROLEHOST_STATUS_FD"])
    for word in behaviour.get("says", ()):
        os.write(status_pipe, f"{word}\n".encode())
    listener = os.environ.get("ROLEHOST_LISTENER_FD")
    tell(
        "runs",
        incarnation=given.incarnation,
        group=os.getpgid(0),
        deployment=behave.get("deployment", ""),
        address=address(int(listener)) if listener else None,
        replaces="ROLEHOST_REPLACES" in os.environ,
    )
    if given.incarnation in behaviour.get("exits", {}).get("in", [given.incarnation]):
        status = behaviour.get("exits", {}).get("status")
        if status is not None:
            return int(status)
    beats = given.incarnation in behaviour.get("beats", ())
    if beats:
        beat_until_frozen(status_pipe, behaviour)
    elif not behaviour.get("silent"):
        os.write(status_pipe, b"ready\n")
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
