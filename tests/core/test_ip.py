"""IP text and packet fields: the standard library's ipaddress is the judge, hostile input must only ever be refused."""

import ipaddress
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skerry_core import ip
from skerry_core.errors import PeerError

ADDRESSES = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))
SPARSE6 = st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0xAB]), min_size=8, max_size=8).map(
    lambda groups: b"".join(group.to_bytes(2, "big") for group in groups)
)
TEXT = st.one_of(
    st.text(max_size=50),
    st.text(alphabet="0123456789abcdefF:./%[]+- ", max_size=45),
    st.lists(st.sampled_from(["::", ":", "0", "1", "ffff", "1.2.3.4", "12345", "."]), max_size=12).map("".join),
)


def stdlib(text):
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else found.packed


@given(st.one_of(ADDRESSES, SPARSE6))
def test_text_of_an_address_is_the_standard_one_and_reads_back(address):
    shown = ip.format_address(address)
    assert ip.parse_address(shown) == address
    # The standard library shows mapped IPv4 in its own way since 3.13.
    if len(address) == 4 or address[:12] != bytes(10) + b"\xff\xff":
        assert shown == str(ipaddress.ip_address(address))


@given(TEXT)
@example("1:2:3:4:5:6:7::")
@example("::1.2.3.4")
@example("1.2.3.4::")
@example("1:2:3:4:5:6:1.2.3.4")
@example("0" * 60 + "::")
def test_any_text_reads_as_in_the_standard_library_or_is_refused(text):
    expected = stdlib(text)
    if expected is None:
        with pytest.raises(PeerError):
            ip.parse_address(text)
    else:
        assert ip.parse_address(text) == expected


@given(ADDRESSES, st.data())
def test_prefixes(address, data):
    bits = data.draw(st.integers(0, len(address) * 8))
    network = ipaddress.ip_network((address, bits), strict=False)
    masked = ip.masked(address, bits)
    assert masked == network.network_address.packed
    assert ip.parse_prefix(f"{ip.format_address(masked)}/{bits}") == (masked, bits)
    assert ip.contains((masked, bits), address)
    other = data.draw(ADDRESSES)
    assert ip.contains((masked, bits), other) == (len(other) == len(address) and ipaddress.ip_address(other) in network)
    if masked != address:
        with pytest.raises(PeerError, match="host bits"):
            ip.parse_prefix(f"{ip.format_address(address)}/{bits}")


@given(st.text(alphabet=string.printable, max_size=40))
def test_endpoints_never_raise_anything_else(text):
    for parse in (ip.parse_endpoint, ip.parse_prefix):
        try:
            parse(text)
        except PeerError as error:
            assert "need" in str(error) or "host bits" in str(error)


@given(st.lists(st.binary(min_size=4, max_size=4), min_size=2, max_size=2).map(sorted))
def test_range_is_the_standard_summary(ends):
    summary = ipaddress.summarize_address_range(ipaddress.ip_address(ends[0]), ipaddress.ip_address(ends[1]))
    assert ip.range_prefixes(*ends) == [(net.network_address.packed, net.prefixlen) for net in summary]


FOUR = st.binary(min_size=4, max_size=4)


@given(st.lists(st.tuples(FOUR, st.integers(0, 32)), max_size=12), st.lists(FOUR, max_size=8))
def test_table_finds_what_a_scan_finds(entries, wanted):
    table, plain = ip.Table(), {}
    for address, bits in entries:
        table.set((ip.masked(address, bits), bits), (address, bits))
        plain[ip.masked(address, bits), bits] = (address, bits)
    for address in wanted + [entry[0] for entry in entries]:
        holding = [prefix for prefix in plain if ip.contains(prefix, address)]
        expected = plain[max(holding, key=lambda prefix: prefix[1])] if holding else None
        assert table.find(address) == expected


PACKETS = st.binary(max_size=100)


@given(st.one_of(PACKETS, PACKETS.map(lambda data: b"\x45" + data), PACKETS.map(lambda data: b"\x60" + data)))
def test_any_bytes_are_fields_or_nothing(packet):
    fields = ip.inspect(packet)
    if fields is not None:
        length, protocol, source, destination, sport, dport, _ = fields
        assert length <= len(packet) and len(source) == len(destination) == (4 if packet[0] >> 4 == 4 else 16)
        assert 0 <= protocol <= 256 and 0 <= sport <= 65535 and 0 <= dport <= 65535
        assert ip.inspect(packet[:length]) == fields
        assert ip.inspect(packet[: length - 1]) is None
