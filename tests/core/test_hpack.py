"""HPACK: our decoder against the hpack library's encoder, the RFC's examples, bounds."""

import hpack as library
import hpack.huffman_constants
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core.errors import PeerError
from skerry_core.http2 import hpack, tables

FIELDS = st.lists(
    st.tuples(st.sampled_from([b":status", b"server", b"content-type", b"x-a", b"x-b", b"cookie"]), st.binary(max_size=60)), max_size=20
)


def test_tables_agree_with_the_library():
    assert tables.STATIC == library.table.HeaderTable.STATIC_TABLE
    assert list(tables.LENGTHS) == list(library.huffman_constants.REQUEST_CODES_LENGTH)


@given(st.lists(FIELDS, max_size=6), st.booleans(), st.sampled_from([4096, 200, 0]))
def test_decodes_what_the_library_encodes(blocks, huffman, table):
    encoder, decoder = library.Encoder(), hpack.Decoder()
    encoder.header_table_size = table
    for fields in blocks:
        assert decoder.decode(encoder.encode(fields, huffman=huffman)) == fields


@given(FIELDS, st.integers(0, 70000))
def test_the_library_decodes_what_we_encode(fields, length):
    fields = [*fields, (b"x-long", b"v" * length)]
    decoder = library.Decoder(max_header_list_size=1 << 20)
    assert decoder.decode(hpack.encode(fields), raw=True) == fields


def test_rfc_7541_appendix_c6_responses_with_huffman_and_eviction():
    decoder = hpack.Decoder(table_limit=256)
    first = "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3"
    third = (
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f95"
        "87316065c003ed4ee5b1063d5007"
    )
    decoder._limit = 256
    assert decoder.decode(bytes.fromhex(first)) == [
        (b":status", b"302"),
        (b"cache-control", b"private"),
        (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
        (b"location", b"https://www.example.com"),
    ]
    assert decoder.decode(bytes.fromhex("4883640effc1c0bf"))[0] == (b":status", b"307")
    assert decoder.decode(bytes.fromhex(third))[-1] == (b"set-cookie", b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")
    assert decoder._size == 215 and len(decoder._table) == 3


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xbe",  # an empty dynamic table
        b"\xff\xff\xff\xff\xff\xff\x7f",  # integer of more than 28 bits
        b"\x00\x05abc",  # string cut short
        b"\x00\x01a",  # no value
        b"\x00",
        b"\x3f\xe2\x1f",  # table of 4097 bytes
        b"\x88\x20",  # size update after a field
        b"\x00\x81\xff\x00",  # Huffman: padding of a whole byte
        b"\x00\x81\x00\x00",  # Huffman: padding not of ones
        b"\x00\x84\xff\xff\xff\xff\x00",  # Huffman: end of string
    ],
)
def test_malformed_blocks(block):
    with pytest.raises(PeerError):
        hpack.Decoder().decode(block)


def test_list_limit_counts_every_field():
    decoder = hpack.Decoder(list_limit=340)
    decoder.decode(b"\x88" * 8)
    with pytest.raises(PeerError, match="header list"):
        decoder.decode(b"\x88" * 9)


def test_entry_larger_than_the_table_empties_it():
    decoder = hpack.Decoder(table_limit=100)
    decoder.decode(b"\x40\x01a\x01b")
    assert decoder.decode(b"\x40\x01a\x50" + b"v" * 80) == [(b"a", b"v" * 80)]
    with pytest.raises(PeerError):
        decoder.decode(b"\xbe")


@given(st.binary(max_size=80))
def test_random_blocks(block):
    decoder = hpack.Decoder()
    try:
        decoder.decode(block)
    except PeerError:
        pass
    assert decoder._size == sum(len(name) + len(value) + 32 for name, value in decoder._table) <= 4096
