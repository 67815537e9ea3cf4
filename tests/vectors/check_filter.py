"""The packet filter against verdicts of tailscale 1.102.3; address text and prefixes."""

import json

import vectorfile

from skerry_core import filter, ip
from skerry_core.errors import LocalError, PeerError


def check_verdicts():
    count = 0
    for record in vectorfile.records("filter"):
        judge = filter.Filter(filter.compile(json.loads(record["rules"])))
        for index, verdict in enumerate(record["verdicts"]):
            fields = ip.inspect(record["packet%d" % index])
            accepted = fields is not None and not filter.unfit(fields) and not judge.verdict(fields, filter.Flows())
            assert accepted == (verdict == "1"), (record["line"], index)
            count += 1
    assert count > 600


def check_layout():
    rule = {"SrcIPs": ["10.0.0.0/8"], "DstPorts": [{"IP": "2001:db8::1", "Ports": {"First": 22, "Last": 80}}], "IPProto": [6]}
    protocols = b"\x40" + bytes(31)
    source = b"\x04\x08\x0a" + bytes(15)
    destination = b"\x06\x80" + vectorfile.unhex("20010db8000000000000000000000001 0016 0050")
    assert filter.compile([rule]) == protocols + vectorfile.unhex("00000001 00000001") + source + destination
    grant = {"SrcIPs": ["*"], "CapGrant": [{"Dsts": ["10.0.0.1/32"], "CapMap": {"x": [1]}}]}
    assert filter.compile([grant]) == b"" and filter.compile([]) == b""
    assert filter.grants([grant], bytes((9, 9, 9, 9)), bytes((10, 0, 0, 1))) == {"x": [1]}
    assert filter.grants([grant], bytes((9, 9, 9, 9)), bytes((10, 0, 0, 2))) == {}


def check_bad_rules_are_left_out():
    ports = {"First": 0, "Last": 65535}
    good = {"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": ports}]}
    for bad in ("10.0.0.5/8", "10.0.0.9-10.0.0.1", "10.0.0.1-::1", "1.2.3", "", "::g", 7, None, {}):
        problems = []
        assert filter.compile([{"SrcIPs": [bad], "DstPorts": good["DstPorts"]}, good], None, problems) == filter.compile([good]), bad
        assert len(problems) == 1
    for bad in (None, 5, {"IP": "*"}, {"IP": "*", "Ports": {"First": 5, "Last": 4}}, {"IP": "*", "Ports": {"First": "0"}}):
        problems = []
        assert filter.compile([{"SrcIPs": ["*"], "DstPorts": [bad]}, good], None, problems) == filter.compile([good])
        assert len(problems) == 1
    assert filter.compile([good, {"SrcIPs": ["*"], "SrcBits": [8], "DstPorts": good["DstPorts"]}]) == b""
    assert filter.compile([good, {"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Bits": 8, "Ports": ports}]}]) == b""
    compiled = filter.compile([good])
    for length in range(1, len(compiled)):
        vectorfile.raises(LocalError, filter.Filter, compiled[:length])
    able = filter.compile([{"SrcIPs": ["cap:x"], "DstPorts": good["DstPorts"]}], {"x": [(bytes((1, 2, 3, 4)), 32)]})
    assert able == filter.compile([{"SrcIPs": ["1.2.3.4"], "DstPorts": good["DstPorts"]}])
    assert filter.compile([{"SrcIPs": ["cap:y"], "DstPorts": good["DstPorts"]}], {}) == b""


def check_addresses():
    shown = ("0.0.0.0", "255.255.255.255", "::", "::1", "1::", "2001:db8::5", "1:2:3:4:5:6:7:8", "::2:0:0:3:0:0", "1:0:2::3")
    for text in shown + ("1:0:2:3:4:5:6:7",):
        assert ip.format_address(ip.parse_address(text)) == text, text
    assert ip.parse_address("::ffff:10.0.0.1") == ip.mapped(bytes((10, 0, 0, 1))) and ip.parse_address("ABCD::") == b"\xab\xcd" + bytes(14)
    for text in ("", "1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", "1.2.3.+4", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "12345::"):
        vectorfile.raises(PeerError, ip.parse_address, text)
    for text in ("1:2:3:4:5:6:7:8:9", "::1%eth0", "1:2:3:4:5:6:7::8", "10.0.0.1::", "::-1", "fe80::1 ", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:"):
        vectorfile.raises(PeerError, ip.parse_address, text)


def check_prefixes_and_endpoints():
    assert ip.parse_prefix("10.0.0.0/8") == (bytes((10, 0, 0, 0)), 8) and ip.format_prefix(ip.parse_prefix("::/0")) == "::/0"
    assert ip.parse_prefix("10.0.0.1") == (bytes((10, 0, 0, 1)), 32)
    for text in ("10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::1/127", "::/129"):
        vectorfile.raises(PeerError, ip.parse_prefix, text)
    assert ip.parse_endpoint("10.0.0.1:53") == (bytes((10, 0, 0, 1)), 53)
    assert ip.format_endpoint(*ip.parse_endpoint("[2001:db8::1]:65535")) == "[2001:db8::1]:65535"
    for text in ("10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "::1:80", "[::1]", "[::1:80", "[::1]:x"):
        vectorfile.raises(PeerError, ip.parse_endpoint, text)
    covered = [ip.format_prefix(prefix) for prefix in ip.range_prefixes(ip.parse_address("10.0.0.1"), ip.parse_address("10.0.0.6"))]
    assert covered == ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6/32"]
    assert ip.range_prefixes(bytes(16), b"\xff" * 16) == [(bytes(16), 0)]
    vectorfile.raises(PeerError, ip.range_prefixes, bytes(4), bytes(16))


def check_table():
    table = ip.Table()
    values = {text: text for text in ("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "2001:db8::/32", "2001:db8::/33")}
    for text, value in values.items():
        table.set(ip.parse_prefix(text), value)
    expect = (("10.1.2.3", "10.1.2.3/32"), ("10.1.2.4", "10.1.0.0/16"), ("10.2.0.1", "10.0.0.0/8"), ("11.0.0.1", "0.0.0.0/0"))
    for address, expected in expect:
        assert table.find(ip.parse_address(address)) == expected
    assert table.find(ip.parse_address("2001:db8::1")) == "2001:db8::/33" and table.find(ip.parse_address("2001:db9::1")) is None
    table.drop(ip.parse_prefix("10.1.0.0/16"), "somebody else's")
    assert table.find(ip.parse_address("10.1.2.4")) == "10.1.0.0/16"
    for text in ("10.1.0.0/16", "10.1.2.3/32"):
        table.drop(ip.parse_prefix(text), table.find(ip.parse_prefix(text)[0]))
    assert table.find(ip.parse_address("10.1.2.3")) == "10.0.0.0/8"
