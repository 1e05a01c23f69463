"""The installation page and the README's plugin in thirty lines, in an empty environment."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from tests.docs.pages import blocks, extract
from tests.proofs.kit import ROOT, Figures, Options, Unavailable
from tests.proofs.running import READY, free_port, running
from tests.proofs.third_party_ground import PARTS, Ground

PROMISE = (
    "Without this repository: the commands of docs/installing.md install host and plugins from a"
    " folder of wheels into an empty environment, and the README's plugin in thirty lines, with"
    " exactly its files and commands, answers and runs its job"
)
DURATION = "about 40 s; --short: 20 s"

PAGE, README = ROOT / "docs" / "installing.md", ROOT / "README.md"

#: The host's address in the README.
ADDRESS = "127.0.0.1:8000"

#: Distributions that the whole page needs besides the ones built for other proofs.
MORE = ("plugins/openapi",)

#: Distributions that the README's plugin needs.
LEAST = (".", "plugins/embedded")


def prove(options: Options) -> Figures:
    """Follow both pages; ``--short`` omits the parts that only the installation page installs."""
    line = options.progress(5, "wheels")
    with tempfile.TemporaryDirectory(prefix="rolehost-small-plugin-") as name:
        ground = Ground(Path(name))
        wheels = ground.build(LEAST if options.short else (*PARTS, *MORE))
        (ground.work / "wheels").symlink_to(ground.wheels)
        extract(README, ground.work)
        line.advance()
        line.relabel("docs/installing.md")
        wanted = ("environment", "wheels") if options.short else None
        begin = _commands(PAGE, "install", wanted)
        _bash(ground, begin)
        entered = _commands(PAGE, "install", ("environment", "wheels"))[1:]
        line.advance()
        line.relabel("the plugin of the README")
        install, run, ask = (
            _commands(README, "plugin", (step,))[0] for step in ("install", "run", "ask")
        )
        _bash(ground, [*entered, install])
        line.advance()
        port = free_port()
        address = f"127.0.0.1:{port}"
        environ = {**ground.environ, "ROLEHOST__HTTP__BIND": address}
        began = time.monotonic()
        script = "\n".join([*entered, f"exec {run}"])
        with running(["bash", "-euc", script], ground.work, environ) as host:
            host.until(READY)
            ready = time.monotonic() - began
            line.advance()
            answer = _bash(ground, [ask.replace(ADDRESS, address)])
            assert json.loads(answer) == {"job": 1}, f"{ask} printed {answer!r}"
            host.until("Hello, Ada! (job 1, attempt 1)")
            status = host.stop()
        assert status == 0, f"the host ended with status {status} on TERM"
        line.advance()
    return {
        "wheels": wheels,
        "commands": sum(len(each.splitlines()) for each in (*begin, install, run, ask)),
        "ready_after_seconds": round(ready, 1),
        "jobs": 1,
    }


def _commands(page: Path, attribute: str, names: tuple[str, ...] | None) -> list[str]:
    """Return a page's command blocks in order.

    Args:
        page: the Markdown page.
        attribute: the attribute after the fence that marks the blocks.
        names: values of the attribute to include; None for all.
    """
    found = [
        block.text.strip()
        for block in blocks(page)
        if attribute in block.attributes and (names is None or block.attributes[attribute] in names)
    ]
    assert len(found) >= len(names or "."), f"{page.name} lacks blocks {attribute}={names}"
    return found


def _bash(ground: Ground, commands: list[str]) -> str:
    """Run commands in one shell in the author's folder; return their output."""
    try:
        return ground.run(["bash", "-euc", "\n".join(commands)])
    except AssertionError as error:
        if "No matching distribution" in str(error) or "Connection" in str(error):
            raise Unavailable(
                f"the package registry cannot be reached: {str(error)[-300:]}"
            ) from None
        raise
