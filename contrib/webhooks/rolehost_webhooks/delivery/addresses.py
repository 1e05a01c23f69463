"""Distinguishes public IP addresses from others, by a table in this module.

Source: IANA's special-purpose address registries for IPv4 and for IPv6 (RFC 6890, updated by
RFC 8190), https://www.iana.org/assignments/iana-ipv4-special-registry and
https://www.iana.org/assignments/iana-ipv6-special-registry. Each row names the month of allocation
and the RFC. The latest allocation in this table is from April 2025. The rows have not been compared
with the current registries, which may list later ones. ``ipaddress.is_global`` is not used because
its table differs between patch versions of Python.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from rolehost_webhooks.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: IPv4 blocks that are not globally reachable.
_PRIVATE_4 = (
    "0.0.0.0/8",  # 1981-09, RFC 791: this network
    "10.0.0.0/8",  # 1996-02, RFC 1918: private use
    "100.64.0.0/10",  # 2012-04, RFC 6598: shared address space
    "127.0.0.0/8",  # 1981-09, RFC 1122: loopback
    "169.254.0.0/16",  # 2005-05, RFC 3927: link-local; cloud metadata
    "172.16.0.0/12",  # 1996-02, RFC 1918: private use
    "192.0.0.0/24",  # 2010-01, RFC 6890: IETF protocol assignments
    "192.0.2.0/24",  # 2010-01, RFC 5737: documentation
    "192.88.99.0/24",  # 2001-06, RFC 7526: 6to4 relay anycast, ended in 2015-03
    "192.168.0.0/16",  # 1996-02, RFC 1918: private use
    "198.18.0.0/15",  # 1999-03, RFC 2544: benchmarking
    "198.51.100.0/24",  # 2010-01, RFC 5737: documentation
    "203.0.113.0/24",  # 2010-01, RFC 5737: documentation
    "224.0.0.0/4",  # 1989-08, RFC 1112 and RFC 5771: multicast
    "240.0.0.0/4",  # 1989-08, RFC 1112: reserved; includes 1984-10, RFC 919: broadcast
)

#: Parts of the blocks above that are globally reachable.
_PUBLIC_4 = (
    "192.0.0.9/32",  # 2015-10, RFC 7723: Port Control Protocol anycast
    "192.0.0.10/32",  # 2017-02, RFC 8155: TURN anycast
)

#: The only IPv6 block from which addresses are allocated (RFC 4291, RFC 3513). Addresses outside it
#: are not public (except ``_NAT64``), even if no registry lists them: ::/128 and ::1/128 (2006-02,
#: RFC 4291), ::/96 (IPv4-compatible, deprecated by RFC 4291), ::ffff:0:0:0/96 (IPv4-translated,
#: RFC 2765), 64:ff9b:1::/48 (2017-06, RFC 8215), 100::/64 (2012-06, RFC 6666), 100:0:0:1::/64
#: (2025-04, RFC 9780), 5f00::/16 (2024-04, RFC 9602), fc00::/7 (2005-10, RFC 4193), fe80::/10
#: (2006-02, RFC 4291), fec0::/10 (site-local, deprecated by RFC 3879), ff00::/8 (multicast).
_UNICAST_6 = ipaddress.IPv6Network("2000::/3")

#: Blocks within 2000::/3 that are not globally reachable.
_PRIVATE_6 = (
    "2001::/23",  # 2000-09, RFC 2928: IETF protocol assignments; includes 2006-01, RFC 4380:
    #               Teredo; 2008-04, RFC 5180: benchmarking; 2007-03, RFC 4843: ORCHID
    "2001:db8::/32",  # 2004-07, RFC 3849: documentation
    "3fff::/20",  # 2024-07, RFC 9637: documentation
)

#: Parts of the blocks above that are globally reachable.
_PUBLIC_6 = (
    "2001:1::1/128",  # 2015-10, RFC 7723: Port Control Protocol anycast
    "2001:1::2/128",  # 2017-02, RFC 8155: TURN anycast
    "2001:1::3/128",  # 2024-04, RFC 9665: DNS-SD service registration anycast
    "2001:3::/32",  # 2014-12, RFC 7450: AMT
    "2001:4:112::/48",  # 2014-12, RFC 7535: AS112
    "2001:20::/28",  # 2014-07, RFC 7343: ORCHIDv2
    "2001:30::/28",  # 2022-12, RFC 9374: drone remote identification
)

_PRIVATE = tuple(map(ipaddress.ip_network, (*_PRIVATE_4, *_PRIVATE_6)))
_PUBLIC = tuple(map(ipaddress.ip_network, (*_PUBLIC_4, *_PUBLIC_6)))

#: 2010-10, RFC 6052: IPv4 addresses behind a translator.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

#: Upper half of the interface identifier of an ISATAP address, and a mask that ignores the
#: bits for "universal" and "group" (RFC 5214, 6.1).
_ISATAP, _ISATAP_MASK = 0x0000_5EFE, 0xFCFF_FFFF

_LOW_32 = 0xFFFF_FFFF


def parse(text: str) -> Address | None:
    """Parse an address; return None if it is not one, or has a scope (``fe80::1%eth0``).

    An address with a scope is valid on one link of this machine only. An IPv4-mapped address
    is returned as its IPv4 address.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return None if address.scope_id is not None else address.ipv4_mapped or address
    return address


def is_public(text: str) -> bool:
    """Return whether an address is public; False if the text is not an address.

    An IPv6 address that embeds an IPv4 address is public only if the IPv4 address is (NAT64), or
    both are (6to4, ISATAP), because a router may forward the packets to the IPv4 address.
    """
    address = parse(text)
    if address is None:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return _reachable(address)
    if address in _NAT64:
        return _reachable(_last_32_bits(address))
    embedded = address.sixtofour or (_last_32_bits(address) if _is_isatap(address) else None)
    if embedded is not None and not _reachable(embedded):
        return False
    return address in _UNICAST_6 and _reachable(address)


def is_within(text: str, networks: Iterable[Network]) -> bool:
    """Return whether an address belongs to one of the networks."""
    address = parse(text)
    return address is not None and any(address in network for network in networks)


def _reachable(address: Address) -> bool:
    if any(address in network for network in _PUBLIC):
        return True
    return not any(address in network for network in _PRIVATE)


def _last_32_bits(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    """Return the IPv4 address in the last 32 bits."""
    return ipaddress.IPv4Address(int(address) & _LOW_32)


def _is_isatap(address: ipaddress.IPv6Address) -> bool:
    return (int(address) >> 32) & _ISATAP_MASK == _ISATAP
