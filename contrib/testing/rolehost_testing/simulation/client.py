"""The client that actions use: it calls one process, over HTTP or through its services."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from rolehost.services import ProcessServices

from rolehost_testing.simulation.fibers import InFiber
from rolehost_testing.simulation.world import SimulatedWorld

if TYPE_CHECKING:
    from rolehost.composition.model import Composition

    from rolehost_testing.simulation.fibers import Fibers
    from rolehost_testing.simulation.processes import SimulatedProcess


class Answer(NamedTuple):
    """A response.

    Attributes:
        status: the status code.
        headers: by lower-case name; the last value if a name is repeated.
        body: the body as bytes.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body decoded from JSON; None if it is empty."""
        return msgspec.json.decode(self.body) if self.body else None


class Client:
    """An external client of one process of the simulation.

    Attributes:
        world: the simulated world.
        process: name of the process.
        services: services of the process, for actions that call plugin code directly.
        random: the random source of this action.
        number: number of this action, from 1.
    """

    def __init__(
        self,
        world: SimulatedWorld,
        process: SimulatedProcess,
        chance: random.Random,
        number: int,
        door: Door | None,
    ) -> None:
        self.world = world
        self.process = process.name
        self.services: ProcessServices = process.services
        self.random = chance
        self.number = number
        self._door = door

    def acknowledged(self, kind: str, value: Any) -> None:
        """Record that a client received a success; invariants read it from the world."""
        self.world.acknowledged.setdefault(kind, []).append(value)

    def get(self, path: str, **options: Any) -> Answer:
        """Send ``GET``; for the options, see :meth:`request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        """Send ``POST`` with a JSON body; for the options, see :meth:`request`."""
        return self.request("POST", path, json=json, **options)

    def request(
        self, method: str, path: str, *, json: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request to the application of the process. If the process dies, this call ends.

        Args:
            method: in upper case.
            path: the path, with query.
            json: the body, which is encoded as JSON; None means no body.
            headers: additional headers.

        Raises:
            LookupError: no deployment of the simulation has routes.
        """
        if self._door is None:
            raise LookupError("no deployment of this simulation has routes")
        return self._door.ask(self.services, method, path, json, headers or {})


class Door:
    """The HTTP application of one composition, built once for all processes of all runs.

    Responders run in the caller's fiber. A synchronous responder may be suspended at any point
    of the host. An asynchronous responder must not await anything outside the simulation.
    """

    def __init__(self, composition: Composition, fibers: Fibers) -> None:
        from rolehost.observe.recorders import Recorders
        from rolehost.roles.http.application import build

        self._fibers = fibers
        host = composition.deployment.host
        http = msgspec.structs.replace(host.http, access_log=False, request_id=False)
        host = msgspec.structs.replace(host, http=http)
        deployment = replace(composition.deployment, host=host)
        services: Any = _Current(fibers)
        strand = fibers.strand()
        # The application reads the session factory here; run() below looks it up per request.
        strand[_Current] = SimpleNamespace(database=SimpleNamespace(session=None))
        self._application = build(
            replace(composition, deployment=deployment), services, Recorders()
        )
        del strand[_Current]

        async def run(work: Any, _session: Any) -> None:
            await InFiber(fibers).run(work, _asked(fibers).database.session)

        self._application.threads.run = run  # type: ignore[assignment,method-assign]

    def close(self) -> None:
        """Close the application."""
        self._application.close()

    def ask(
        self,
        services: ProcessServices,
        method: str,
        path: str,
        json: Any,
        headers: Mapping[str, str],
    ) -> Answer:
        """Send one request, as :meth:`Client.request` does."""
        body = b"" if json is None else msgspec.json.encode(json)
        strand = self._fibers.strand()
        strand[_Current] = services
        scope = _scope(method, path, headers, body)
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        coroutine: Any = self._application.asgi(scope, receive, send)
        try:
            with self._fibers.coroutine(True):
                coroutine.send(None)
        except StopIteration:
            pass
        else:
            coroutine.close()
            raise RuntimeError(
                f"{method} {path}: a responder waits for something outside of the simulation"
            )
        finally:
            strand.pop(_Current, None)
        start = sent[0]
        return Answer(
            start["status"],
            {name.decode().lower(): value.decode() for name, value in start["headers"]},
            b"".join(message.get("body", b"") for message in sent[1:]),
        )


def _scope(method: str, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    plain, _, query = path.partition("?")
    sent = {"host": "localhost", "content-length": str(len(body)), **headers}
    if body:
        sent.setdefault("content-type", "application/json")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": plain,
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


def _asked(fibers: Fibers) -> ProcessServices:
    services: ProcessServices = fibers.strand()[_Current]
    return services


class _Current:
    """A proxy for the services of the process that answers the current request."""

    def __init__(self, fibers: Fibers) -> None:
        self._fibers = fibers

    def __getattr__(self, name: str) -> Any:
        return getattr(_asked(self._fibers), name)
