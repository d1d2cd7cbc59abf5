"""No address but a public one passes, however it is written down."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.fetching.addresses import is_public, may_be_reached

SPECIAL = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
    192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    168.63.129.16/32 ::/128 ::1/128 ::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 3fff::/20 5f00::/16
    fc00::/7 fe80::/10 fec0::/10 ff00::/8
"""
FORBIDDEN = [ip_network(text) for text in SPECIAL.split()]
FORBIDDEN_IPV4 = [network for network in FORBIDDEN if network.version == 4]


def written_as_ipv6(address: IPv4Address) -> list[IPv6Address]:
    number = int(address)
    return [
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address((0x64_FF9B << 96) | number),
        IPv6Address((0x2002 << 112) | (number << 80) | 1),
    ]


addresses_within = st.sampled_from(FORBIDDEN).flatmap(
    lambda network: st.integers(int(network[0]), int(network[-1])).map(type(network[0]))
)
ipv4_within = st.sampled_from(FORBIDDEN_IPV4).flatmap(
    lambda network: st.integers(int(network[0]), int(network[-1])).map(IPv4Address)
)


@given(addresses_within)
def test_no_address_of_a_special_network_is_public(address):
    assert not is_public(address)


@given(ipv4_within)
def test_no_ipv6_address_that_stands_for_one_is_public_either(address):
    assert [item for item in written_as_ipv6(address) if is_public(item)] == []


@given(st.ip_addresses())
def test_what_is_public_lies_in_no_special_network(address):
    if is_public(address):
        assert address.is_global
        assert not any(address in network for network in FORBIDDEN if network.version == address.version)


@pytest.mark.parametrize("text", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"])
def test_the_internet_is_public(text):
    address = ip_address(text)
    assert is_public(address)
    assert address.version == 6 or all(is_public(item) for item in written_as_ipv6(address))


@pytest.mark.parametrize("text", ["169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "168.63.129.16"])
def test_no_cloud_tells_its_secrets(text):
    assert not is_public(ip_address(text))


def test_a_network_that_is_allowed_may_be_reached_in_every_notation_and_no_other_may():
    allowed = [ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")]
    inside = IPv4Address("10.1.2.3")
    assert all(may_be_reached(item, allowed) for item in [inside, *written_as_ipv6(inside), IPv6Address("fd00:1::5")])
    for outside in ("10.2.0.1", "127.0.0.1", "fd00:2::5", "::ffff:10.2.0.1"):
        assert not may_be_reached(ip_address(outside), allowed)
