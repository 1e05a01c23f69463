"""The testing kit: run a host with chosen plugins inside the test process, in milliseconds.

pytest provides the fixture ``host`` (:mod:`rolehost_testing.pytest_plugin`) without an import::

    def test_an_order_is_mailed(host):
        shop = host(plugins=[rolehost_shop])
        assert shop.client.post("/orders", json={"item": "pear"}).status == 201
        shop.assert_enqueued("shop.mail", item="pear")
        shop.drain()

Without pytest: ``with open_host(plugins=[rolehost_shop]) as shop: …``.
"""

from rolehost_testing.kit.absence import absent
from rolehost_testing.kit.client import Client, Headers, Response
from rolehost_testing.kit.clock import Clock
from rolehost_testing.kit.driving import Endless
from rolehost_testing.kit.failing import FailAt
from rolehost_testing.kit.host import Host, HostDown
from rolehost_testing.kit.looking import Enqueued, Published
from rolehost_testing.kit.metrics import Metrics
from rolehost_testing.kit.opening import Hosts, open_host
from rolehost_testing.kit.ran import Drained, Ran

__all__ = [
    "Client",
    "Clock",
    "Drained",
    "Endless",
    "Enqueued",
    "FailAt",
    "Headers",
    "Host",
    "HostDown",
    "Hosts",
    "Metrics",
    "Published",
    "Ran",
    "Response",
    "absent",
    "open_host",
]
