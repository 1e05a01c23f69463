"""Which addresses are public: against networks that are written down here a second time."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rolehost_webhooks.delivery.addresses import is_within
from rolehost_webhooks.delivery.guard import is_public
from rolehost_webhooks.settings import DeliverySettings

CLOSED = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/29",
    "192.0.0.128/25",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
    "::/8",
    "100::/8",
    "200::/7",
    "400::/6",
    "800::/5",
    "1000::/4",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:100::/24",
    "2001:db8::/32",
    "3fff::/20",
    "4000::/2",
    "8000::/1",
]
OPEN = [
    "1.0.0.0/8",
    "8.0.0.0/7",
    "100.128.0.0/9",
    "172.32.0.0/11",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.175.48.0/24",
    "198.20.0.0/14",
    "223.0.0.0/8",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:200::/23",
    "2400::/12",
    "2600::/12",
    "2a00::/12",
]


def addresses(networks: list[str]) -> st.SearchStrategy[str]:
    """Addresses of some networks; the first and the last of each are tried more often."""

    def of(text: str) -> st.SearchStrategy[str]:
        network = ipaddress.ip_network(text)
        low, high = int(network[0]), int(network[-1])
        kind = type(network[0])
        # An IPv4-mapped address is judged as the IPv4 address: see below.
        inside = st.integers(low, high).filter(lambda number: number >> 32 != 0xFFFF)
        return st.one_of(st.sampled_from([low, high]), inside).map(lambda one: str(kind(one)))

    return st.sampled_from(networks).flatmap(of)


@given(addresses(CLOSED).filter(lambda text: not text.startswith("64:ff9b::")))
def test_special_networks_are_not_public(address: str) -> None:
    assert not is_public(address)


@given(addresses(OPEN).filter(lambda text: ":5efe:" not in text))
def test_allocated_networks_are_public(address: str) -> None:
    assert is_public(address)


@given(st.one_of(addresses(CLOSED), addresses(OPEN)).filter(lambda text: "." in text))
def test_an_address_that_carries_one_of_ipv4_is_no_more_public_than_that(inner: str) -> None:
    number, public = int(ipaddress.IPv4Address(inner)), is_public(inner)

    def carrying(text: str, shift: int = 0) -> str:
        return str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(text)) | number << shift))

    assert is_public(f"::ffff:{inner}") == public
    assert is_public(carrying("64:ff9b::")) == public
    assert is_public(carrying("2002::", 80)) == public
    assert is_public(carrying("2a00::5efe:0:0")) == public
    assert is_public(carrying("2a00::200:5efe:0:0")) == public
    for never in ("::", "::ffff:0:0:0", "64:ff9b:1::", "2001::", "fe80::5efe:0:0"):
        assert not is_public(carrying(never))


@pytest.mark.parametrize(
    "address",
    [
        *("192.0.0.8", "192.0.0.170", "192.0.0.192", "64:ff9b:1::7f00:1", "fec0::1"),
        *("::127.0.0.1", "::ffff:0:127.0.0.1", "5f00::1", "100:0:0:1::1", "fe80::1%eth0"),
        *("2606:4700::1%1", "", "localhost", "0177.0.0.1", "1", "::1 ", "8.8.8.8/32"),
    ],
)
def test_these_are_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["192.0.0.9", "192.0.0.10", "2001:1::1", "2001:1::3"])
def test_anycast_services_are_public(address: str) -> None:
    assert is_public(address)


def test_networks_may_be_allowed_and_no_others_are() -> None:
    networks = DeliverySettings(allow_networks=("10.1.0.0/16", "fd00::/8")).networks
    for allowed in ("10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "fd12::1"):
        assert is_within(allowed, networks)
    for other in ("10.2.0.0", "::10.1.2.3", "64:ff9b::a01:203", "fc00::1", "fd12::1%2", ""):
        assert not is_within(other, networks)


@pytest.mark.parametrize("wrong", ["10.1.2.3/16", "10.1/16", "internal", "", "fd00::/129"])
def test_a_setting_that_is_no_network_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"allow_networks.*expected networks such as"):
        DeliverySettings(allow_networks=(wrong,))
