"""Part of ``other-hosts``: four hosts with networks and clocks of their own, and partitions.

The part runs as ``python -m tests.proofs.other_hosts_namespaces SEED`` in a network namespace, in
which a bridge is the switch. Each host has namespaces of its own for network, name and processes.
Everything ends with the process. It prints a line for each step, and last the figures as JSON or
the reason why they do not hold.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.proofs.kit import Options, Task
from tests.proofs.other_hosts_ground import Fleet, audit, command, deployment, fleet
from tests.proofs.running import Running

#: The hosts, and the seconds by which their clocks are wrong.
CLOCKS = {"right": 0, "ahead": 90, "behind": -90, "hours": 7200}

#: Addresses of the server and of the first host, in the network of the bridge.
SERVER, FIRST_HOST, MASK = "10.99.0.1", 10, 24

#: Seconds of the partitions: TCP outlasts the short one; the long one ends leases and sessions.
SHORT, LONG = 6.0, 18.0
#: Seconds without a fault, longer than a lease: no wrong clock may end one.
QUIET = 12.0
#: Jobs per second of a client, and seconds of a job: they keep three of eight threads busy.
PACE, DURATION = 12.0, 0.1

_PROGRAMS = ("ip", "unshare", "mount")
STEPS = 6


def _libraries() -> list[Path]:
    """Return the libraries with which a process has another clock: one, or none."""
    return list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))[:1]


def missing() -> str:
    """Return what is needed and not there; empty if it can run."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    absent = [name for name in _PROGRAMS if not shutil.which(name)]
    if absent:
        return f"needs {', '.join(absent)} (Debian: iproute2, util-linux)"
    if not _libraries():
        return "needs libfaketime (Debian: faketime)"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "ip", "link", "add", "br0", "type", "bridge"],
        capture_output=True,
        check=False,
    )
    return "needs the right to make network namespaces and bridges" if tried.returncode else ""


def measure(options: Options, task: Task) -> dict[str, Any]:
    """Run it in its namespace; return what was counted, or why it was skipped."""
    if reason := missing():
        return {"skipped": reason}
    given = ["unshare", "--net", "--mount", "--fork", "--kill-child=SIGKILL", sys.executable, "-m"]
    with subprocess.Popen(
        [*given, __name__, str(options.seed)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        last = ""
        for line in child.stdout:
            last = line.rstrip("\n")
            if line.startswith("step "):
                task.advance()
    result = json.loads(last or "{}")
    assert "figures" in result, result.get("failed", f"it ended with {child.returncode}")
    return dict(result["figures"])


def _run(*given: str) -> None:
    subprocess.run(given, check=True, stdout=subprocess.DEVNULL)


def _make_switch() -> None:
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", "br0", "type", "bridge")
    _run("ip", "addr", "add", f"{SERVER}/{MASK}", "dev", "br0")
    _run("ip", "link", "set", "br0", "up")
    # The names of namespaces are files, which only this process sees.
    Path("/run/netns").mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "none", "/run/netns")


def _launch(made: Fleet, stack: ExitStack, folder: Path, name: str) -> Running:
    """Start a host in namespaces of its own, with its own clock."""
    address = f"10.99.0.{FIRST_HOST + list(CLOCKS).index(name)}/{MASK}"
    inside = ("ip", "netns", "exec", name)
    _run("ip", "netns", "add", name)
    _run("ip", "link", "add", f"v-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
    _run("ip", "link", "set", f"v-{name}", "master", "br0", "up")
    _run(*inside, "ip", "addr", "add", address, "dev", "eth0")
    _run(*inside, "ip", "link", "set", "eth0", "up")
    _run(*inside, "ip", "link", "set", "lo", "up")
    place = deployment(folder, made.url.replace("127.0.0.1", SERVER), name)
    clock = ""
    if CLOCKS[name]:
        [library] = _libraries()
        clock = f"export LD_PRELOAD={library} FAKETIME={CLOCKS[name]:+d}s"
        clock += " FAKETIME_DONT_FAKE_MONOTONIC=1; "
    program = shlex.join(map(str, command(place)))
    own = ["unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]
    host = Running(
        [*inside, *own, "sh", "-c", f"hostname {name}; {clock}exec {program}"],
        place.folder,
        place.env,
    )
    stack.callback(_kill, host)
    return host


def _kill(host: Running) -> None:
    # Its child is the first process of a namespace, with which all others end.
    os.kill(host.pid, signal.SIGKILL)
    host.wait()


def _unplug(*names: str) -> None:
    for name in names:
        _run("ip", "link", "set", f"v-{name}", "nomaster")


def _plug(*names: str) -> None:
    for name in names:
        _run("ip", "link", "set", f"v-{name}", "master", "br0")


def _during(seconds: float) -> None:
    threading.Event().wait(seconds)  # the duration of a fault


def _step(name: str) -> None:
    print(f"step {name}", flush=True)


def _disturb(hosts: Fleet, server: Any) -> int:
    """Cause the partitions; return how many processes were taken for dead before the first."""
    _during(QUIET)
    gone = sum(host.output.count("process gone") for host in hosts.hosts.values())
    _step("wrong clocks")
    for name, unplugged, seconds in (
        ("short partition", ("ahead",), SHORT),
        ("long partition", ("right", "behind"), LONG),
        ("all hosts", tuple(CLOCKS), LONG),
    ):
        _unplug(*unplugged)
        if others := sorted(CLOCKS.keys() - set(unplugged)):
            hosts.goes_on(f"beside {name}", others)
        _during(seconds)
        _plug(*unplugged)
        hosts.goes_on(name)
        _step(name)
    server.restart(immediate=True)
    hosts.goes_on("server restarted")
    _step("server restarted")
    return gone


def _measure(seed: int) -> dict[str, Any]:
    from rolehost_testing.services import start

    _make_switch()
    with start("postgres", parameters={"listen_addresses": f"127.0.0.1,{SERVER}"}) as server:
        access = server.folder / "data" / "pg_hba.conf"
        access.write_text(f"{access.read_text()}host all all {SERVER}/{MASK} trust\n")
        server.restart()
        with fleet(server.url, list(CLOCKS), seed, _launch) as hosts:
            for client in hosts.clients.values():
                client.pace, client.duration = PACE, DURATION
            gone = _disturb(hosts, server)
            counted = audit(server.url, hosts.clients)
            _step("audit")
            counted.check()
            assert not gone, f"{gone} processes were taken for dead because of clocks"
    return {**counted._asdict(), "taken_for_dead": gone, **hosts.times()}


def main() -> None:
    """Run in this namespace, and print the result."""
    try:
        print(json.dumps({"figures": _measure(int(sys.argv[1]))}))
    except AssertionError as error:
        print(json.dumps({"failed": str(error)}))


if __name__ == "__main__":
    main()
