"""A third-party plugin, and a witness that prints each request that would reach a responder.

It is written into a folder as a distribution, so that it uses only the public API.
"""

from __future__ import annotations

from pathlib import Path

#: Printed for each request that was admitted to a route with authentication.
RAN = "a responder runs:"

SOURCE = f'''
import os

from rolehost.api import PLUGIN_API, Middleware, PluginInfo, Route, hookimpl


class Bare:
    """Synchronous and asynchronous responders, and a WebSocket."""

    def on_get(self, req, resp, **_):
        resp.media = {{}}

    async def on_post(self, req, resp, **_):
        resp.media = {{}}

    async def on_websocket(self, req, ws, **_):
        await ws.accept()
        await ws.close()


class Witness:
    """Falcon calls it when a route was found and the request was admitted, before a responder."""

    async def process_resource(self, req, resp, resource, params):
        if req.uri_template not in OPEN:
            os.write(1, f"{RAN} {{req.method}} {{req.path}}\\n".encode())

    async def process_resource_ws(self, req, ws, resource, params):
        os.write(1, f"{RAN} WEBSOCKET {{req.path}}\\n".encode())


OPEN = set(os.environ["WITNESS_OPEN"].split())


@hookimpl
def rolehost_plugin():
    return PluginInfo(api=PLUGIN_API, summary="Knows nothing of authentication")


@hookimpl
def rolehost_routes():
    bare = Bare()
    tails = ("", "/{{thing}}", "/v{{major}}/{{minor:int}}", "/files/{{name:path}}")
    return [Route(f"/bare{{tail}}", bare) for tail in tails]


@hookimpl
def rolehost_middleware():
    return [Middleware("witness", Witness())]
'''


def install(folder: Path) -> dict[str, str]:
    """Write the distribution into a folder; return the environment variables to find it."""
    installed = folder / "rolehost_witness-1.0.dist-info"
    installed.mkdir()
    (folder / "rolehost_witness.py").write_text(SOURCE)
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: rolehost-witness\nVersion: 1.0\n"
    )
    (installed / "entry_points.txt").write_text("[rolehost]\nwitness = rolehost_witness\n")
    return {"PYTHONPATH": str(folder)}
