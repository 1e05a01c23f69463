"""A process that starts a server, prints its address, and waits to be killed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from rolehost_testing.services import Missing, start


def main() -> None:
    try:
        server = start(sys.argv[1])
    except Missing as missing:
        print(json.dumps({"missing": str(missing)}), flush=True)
        return
    if "--fork" in sys.argv and os.fork() == 0:
        # A child that the owner leaves behind, with everything that it had open; ends by itself.
        time.sleep(60)
        os._exit(0)
    started = {"pid": server.pid, "port": server.port, "folder": str(server.folder)}
    print(json.dumps(started), flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
