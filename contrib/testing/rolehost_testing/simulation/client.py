"""What an action of the author's has: a process to ask, over HTTP or by its services."""

from __future__ import annotations

import random
from collections.abc import Mapping
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
        status: its number.
        headers: by name in lower case; of several of a name, the last.
        body: its bytes.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded; None when it is empty."""
        return msgspec.json.decode(self.body) if self.body else None


class Client:
    """Somebody outside who asks one process of the simulation.

    Attributes:
        world: the simulated world.
        process: name of the process that is asked.
        services: its services, for an action that stands for code of its own.
        random: the chance of this action.
        number: this action's own, from 1.
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
        """Note that somebody was told of a success; an invariant finds it in the world."""
        self.world.acknowledged.setdefault(kind, []).append(value)

    def get(self, path: str, **options: Any) -> Answer:
        """Send ``GET``; options as of :meth:`request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        """Send ``POST`` with a body in JSON; options as of :meth:`request`."""
        return self.request("POST", path, json=json, **options)

    def request(
        self, method: str, path: str, *, json: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request to the process's application; it dies on the way when the process does.

        Args:
            method: in capitals.
            path: with its query.
            json: the body, to be encoded; None: no body.
            headers: more headers.

        Raises:
            LookupError: no deployment of the simulation has routes.
        """
        if self._door is None:
            raise LookupError("no deployment of this simulation has routes")
        return self._door.ask(self.services, method, path, json, headers or {})


class Door:
    """The HTTP application of one composition, built once for all processes of all runs.

    Responders run in the fiber of the caller: a synchronous one may be suspended at any point of
    the host, an asynchronous one must not wait for anything.
    """

    def __init__(self, composition: Composition, fibers: Fibers) -> None:
        from rolehost.observe.recorders import Recorders
        from rolehost.roles.http.application import build

        self._fibers = fibers
        host = composition.deployment.host
        settings = msgspec.structs.replace(
            host, http=msgspec.structs.replace(host.http, access_log=False, request_id=False)
        )
        services: Any = _Current(fibers)
        strand = fibers.strand()
        # The application wants to know how a session begins, which is asked anew below.
        strand[_Current] = SimpleNamespace(database=SimpleNamespace(session=None))
        self._application = build(composition, services, Recorders(), settings)
        del strand[_Current]

        async def run(work: Any, _session: Any) -> None:
            await InFiber(fibers).run(work, _asked(fibers).database.session)

        self._application.threads.run = run  # type: ignore[assignment,method-assign]

    def close(self) -> None:
        """End what the application holds."""
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
    told = {"host": "localhost", "content-length": str(len(body)), **headers}
    if body:
        told.setdefault("content-type", "application/json")
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
        "headers": [(name.lower().encode(), value.encode()) for name, value in told.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


def _asked(fibers: Fibers) -> ProcessServices:
    services: ProcessServices = fibers.strand()[_Current]
    return services


class _Current:
    """The services of the process that is being asked, for an application of all of them."""

    def __init__(self, fibers: Fibers) -> None:
        self._fibers = fibers

    def __getattr__(self, name: str) -> Any:
        return getattr(_asked(self._fibers), name)
