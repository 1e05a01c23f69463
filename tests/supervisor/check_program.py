"""Stands for ``rolehost.supervisor.check_program``: answers with the file ``OFFER``."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path


def main() -> int:
    said = json.loads(Path(os.environ["OFFER"]).read_text())
    output = int(os.environ["ROLEHOST_STATUS_FD"])
    line = {"event": "checks", "arguments": sys.argv[1:], "pid": os.getpid()}
    os.write(2, json.dumps(line).encode() + b"\n")
    if said.get("silent"):
        return 1
    if "--after" in sys.argv:
        while said["after"].get("hangs"):
            signal.pause()
        before = json.loads(sys.argv[sys.argv.index("--after") + 1])
        answer = said["after"] or {"status": 0, "migrated": [f"post after {before}"]}
        os.write(output, json.dumps(answer).encode())
        return 0
    os.write(int(os.environ["ROLEHOST_SOURCES_FD"]), json.dumps(said.pop("behave", {})).encode())
    while said.get("hangs"):
        signal.pause()
    os.write(output, b"composed\n")
    os.write(output, json.dumps(said).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
