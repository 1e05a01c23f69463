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
        token: the bearer token that clients must send (``Authorization: Bearer``). If it is None
            or empty, ``[http] token`` and ``[http] authentication`` protect the API, and the check
            ``webhooks-token`` reports this. With ``[deployment] environment = "production"``, the
            start is refused then, unless ``[webhooks-api] authentication`` is ``proxy``.
        authentication: who authenticates clients. ``token``: this API, which compares their token.
            ``proxy``: a proxy that clients cannot bypass; the token is optional then.
    """

    token: Secret | None = None
    authentication: Literal["token", "proxy"] = "token"

    @property
    def required_token(self) -> Secret | None:
        """The token of this API, or None if it has no token."""
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
        schedule: delays in seconds before the second, third … attempt. If the last attempt fails,
            the delivery is a dead letter. The default is the schedule that Standard Webhooks
            recommends: eight attempts in about 28 hours.
        jitter: relative random variation of each delay; 0.2 is ± 20 %.
        retry_after_longest: maximum delay in seconds that a receiver can request with
            ``Retry-After``.
        timeout: timeout in seconds of a whole attempt: name lookup, connection, TLS, request, and
            head and body of the response.
        response_limit: maximum bytes of a response that are kept with the attempt.
        allow_private: also deliver to loopback, private, link-local and other non-public
            addresses. Do not set it if untrusted users can set an endpoint's URL.
        allow_networks: networks that are allowed although they are not public, for example
            ``["10.1.0.0/16"]``. It has no effect if ``allow_private`` is set.
        connections: maximum number of idle connections that a worker keeps for each receiver.
        retention_days: days after which messages and their attempts are removed.
        overdue: maximum delay of the oldest delivery in seconds; above it the check
            ``webhooks-backlog`` fails.
        probe_after: failed attempts in a row, after which an endpoint gets one request at a time
            until one succeeds.
        disable_after_days: days after which an endpoint that fails since then is disabled. 0 is
            never.
        outcomes: topic for events about deliveries that succeeded or failed permanently, and
            about endpoints that were disabled because they answered 410 or failed for too long.
            None publishes no events.
        cache_secrets: also keep endpoints' secrets and headers in a shared cache, for example
            Redis, whose server then holds them in clear text. An in-process cache always holds
            them.
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
    probe_after: Count = 20
    disable_after_days: Annotated[float, Meta(ge=0)] = 5.0
    outcomes: str | None = None
    cache_secrets: bool = False

    def __post_init__(self) -> None:
        """Check the networks.

        Raises:
            ValueError: a network is invalid.
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
