"""The settings sections of the three plugins."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from msgspec import Meta
from rolehost.api import Secret, Settings

Network = IPv4Network | IPv6Network

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class ApiSettings(Settings, frozen=True):
    """``[webhooks-api]``.

    Attributes:
        token: what clients send as ``Authorization: Bearer``. None, or an empty one, leaves it
            to ``[http] token`` and ``[http] authentication`` who may use the API: the check
            ``webhooks-token`` says so, and where ``[deployment] environment`` is
            ``production`` it is refused.
        authentication: who authenticates clients. ``token``: this API, by its token. ``proxy``:
            what stands before it; nobody else can reach it, and it may do without a token of
            its own.
    """

    token: Secret | None = None
    authentication: Literal["token", "proxy"] = "token"

    @property
    def demanded(self) -> Secret | None:
        """The token that clients must send; None: they need none."""
        return self.token or None


class IngestSettings(Settings, frozen=True):
    """``[webhooks-ingest]``.

    Attributes:
        topic: the topic whose events become messages.
        application: id or uid of the application that gets an event without the extension
            attribute ``webhooksapp``; None makes such an event a dead letter.
    """

    topic: str = "webhooks"
    application: str | None = None


class DeliverySettings(Settings, frozen=True):
    """``[webhooks-delivery]``.

    Attributes:
        schedule: seconds before the second, third … attempt; after the last of them the
            delivery is a dead letter. The default is what Standard Webhooks proposes: eight
            attempts in about 28 hours.
        jitter: relative spread of each of these, 0.2 is ± 20 %.
        retry_after_longest: seconds up to which a receiver's ``Retry-After`` is obeyed.
        timeout: seconds for connecting, and again for each wait for bytes of the response.
        response_limit: bytes of a response that are kept with the attempt.
        allow_private: also deliver to loopback, private, link-local and otherwise not public
            addresses. Leave it off wherever strangers may set an endpoint's URL.
        allow_networks: networks to which deliveries may go although they are not public, for
            example ``["10.1.0.0/16"]``. Of no effect with ``allow_private``.
        connections: open connections kept for each receiver.
        retention_days: days after which messages and their attempts are removed.
        overdue: seconds by which the oldest delivery may be late before the check
            ``webhooks-backlog`` fails.
        outcomes: topic to which an event is published when a delivery has ended, well or not,
            and when an endpoint is disabled for its answer; None publishes none.
        cache_secrets: also keep endpoints' secrets and headers in a cache that processes share,
            for example Redis, whose server then holds them in clear text. A cache in the memory
            of each process holds them in any case.
    """

    schedule: tuple[Seconds, ...] = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0)
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.2
    retry_after_longest: Seconds = 86_400.0
    timeout: Seconds = 15.0
    response_limit: Count = 16_384
    allow_private: bool = False
    allow_networks: tuple[str, ...] = ()
    connections: Count = 8
    retention_days: Count = 90
    overdue: Seconds = 600.0
    outcomes: str | None = None
    cache_secrets: bool = False

    def __post_init__(self) -> None:
        """Check what no type says.

        Raises:
            ValueError: a network is none.
        """
        for text in self.allow_networks:
            try:
                ip_network(text)
            except ValueError as error:
                raise ValueError(
                    f"allow_networks: {error}; expected networks such as 10.1.0.0/16 or fd00::/8"
                ) from None

    @property
    def networks(self) -> tuple[Network, ...]:
        """``allow_networks`` as networks."""
        return tuple(map(ip_network, self.allow_networks))
