"""Which addresses a URL may lead to: those of the public internet, and networks the settings name."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_GLOBAL_IPV6 = IPv6Network("2000::/3")  # all that IANA has given out for the internet
_NAT64 = IPv6Network("64:ff9b::/96")
# Beyond what `is_global` refuses: it knows the special registries as they were when Python was released, and lets the
# addresses of groups and relays through.
_SPECIAL = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # answers virtual machines of Azure alone
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo, ORCHID, benchmarks
        "2001:db8::/32",
        "3fff::/20",
    )
)


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the internet, and not to this machine, its networks or its cloud.

    An IPv6 address that stands for an IPv4 address is what that one is.
    """
    judged = _meant(address)
    if judged.version == 6 and judged not in _GLOBAL_IPV6:
        return False
    return judged.is_global and not judged.is_multicast and not _is_within(judged, _SPECIAL)


def may_be_reached(address: Address, allowed: Sequence[Network]) -> bool:
    """Tell whether an address is public, or in a network that is allowed nevertheless."""
    return is_public(address) or _is_within(_meant(address), allowed)


def _meant(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
