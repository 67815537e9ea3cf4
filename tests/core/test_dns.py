"""DNS: the codec, what is answered here, the cache, and the resolver between askers, servers and time; hostile bytes in both directions."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core import ip
from skerry_core.dns import message, names
from skerry_core.dns.cache import Cache
from skerry_core.dns.names import Names, reverse_name, reversed_address
from skerry_core.dns.resolver import ASKERS, TASKS, Resolver
from skerry_core.errors import LocalError, PeerError
from skerry_core.tailcfg.netmap import NetworkMap

FIRST, SECOND, CORP = (ip.parse_address("192.0.2.1"), 53), (ip.parse_address("192.0.2.2"), 53), (ip.parse_address("10.0.0.53"), 5353)


def node(number, name, *addresses):
    own = [f"{address}/{128 if ':' in address else 32}" for address in addresses]
    return {"ID": number, "Name": name, "Key": "nodekey:" + f"{number:064x}", "Addresses": own, "MachineAuthorized": True}


def netmap(**config):
    found = NetworkMap()
    config = {"Proxied": True, "Domains": ["tn.example"], **config}
    peers = [node(2, "camera-1.tn.example.", "100.64.0.2", "fd7a:115c:a1e0::2"), node(3, "only4.tn.example.", "100.64.0.3")]
    peers.append(node(4, "shared.other.example.", "100.64.0.4"))
    own = node(1, "Desk.tn.example.", "100.64.0.1", "fd7a:115c:a1e0::1")
    found.apply({"Node": own, "Peers": peers, "DNSConfig": config})
    return found


def ask(name, kind="A", edns=True, ident=7, flags=message.RD):
    question = message.encode_name(name) + struct.pack(">HH", message.TYPES.get(kind, kind), 1)
    return message.query(ident, question, flags, edns, False)


def reply_to(query, *values, rcode=0, flags=0, ttl=300, authority=b"", ident=None):
    """What a server says: address records for the question of `query`."""
    asked = message.parse_query(query)
    body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", {4: 1, 16: 28}[len(v)], 1, ttl, len(v)) + v for v in values)
    head = struct.pack(">HHHHHH", asked.id if ident is None else ident, 0x8180 | flags | rcode, 1, len(values), 1 if authority else 0, 0)
    return head + asked.question + body + authority


SOA = b"\0" + struct.pack(">HHIH", message.SOA, 1, 60, 22) + b"\0\0" + struct.pack(">IIIII", 1, 2, 3, 4, 30)


class World:
    """A resolver with its clock; actions are sorted into replies and asks."""

    def __init__(self, before=(FIRST, SECOND), **config):
        self.now, self.replies, self.asks, self.dropped = 1000, {}, {}, []
        source = random.Random(1)
        self.resolver = Resolver(source.randbytes)
        self.names = Names(netmap(**config), list(before))
        self.resolver.use(self.names)

    def turn(self):
        for action in self.resolver.actions():
            if action[0] == "reply":
                assert action[1] not in self.replies
                self.replies[action[1]] = action[2]
            elif action[0] == "ask":
                self.asks[action[1]] = action[2:]
            else:
                self.dropped.append(action[1])

    def query(self, token, name, kind="A", tcp=False, **more):
        assert self.resolver.query(token, ask(name, kind, **more), tcp, self.now)
        self.turn()
        return self.replies.get(token)

    def answered(self, number, data):
        self.resolver.answered(number, data, self.now)
        self.turn()

    def failed(self, number):
        self.resolver.failed(number, self.now)
        self.turn()

    def advance(self, ms):
        end = self.now + ms
        while (at := self.resolver.next_timer()) is not None and at <= end:
            self.now = max(self.now, at)
            self.resolver.handle_timer(self.now)
            self.turn()
        self.now = end

    def addresses(self, token):
        rcode, records, _ = message.read_records(self.replies[token])
        assert rcode == 0
        return sorted(ip.format_address(value) for _, kind, _, value in records if kind in (1, 28))


# the codec


def test_names():
    assert message.encode_name("Camera-1.TN.example.") == b"\x08camera-1\x02tn\x07example\0"
    assert message.name_text(message.encode_name("a.b")) == "a.b" and message.name_text(b"\0") == "."
    assert message.name_text(b"\x03a.\x01\0") == "a\\046\\001"
    for bad in ("a..b", "x" * 64, ".".join(["x" * 60] * 5)):
        with pytest.raises(LocalError, match="name"):
            message.encode_name(bad)
    assert message.parents(b"\1a\1b\0") == [b"\1a\1b\0", b"\1b\0", b"\0"]
    assert message.read_name(b"\1a\0\1b\xc0\0", 3) == (b"\1b\1a\0", 7)
    for bad in (b"\xc0\0", b"\1a\xc0\2", b"\1", b"\xc0", b"\x80", b"\1a", b"", b"\xc0\5\0\0\0\1a\0"):
        with pytest.raises(PeerError):
            message.read_name(bad, 0)
    long = b"".join(bytes([60]) + b"x" * 60 for _ in range(4)) + b"\0"
    with pytest.raises(PeerError, match="more than 255"):
        message.read_name(long + bytes([60]) + b"y" * 60 + b"\xc0\0", len(long))


def test_what_a_query_deserves():
    good = ask("a.example")
    assert message.parse_query(good).refused == message.NOERROR and message.parse_query(good).edns == (1232, 0, 0)
    assert message.parse_query(ask("a.example", edns=False)).edns is None
    for change, rcode in (((2, 0x28), message.NOTIMP), ((5, 2), message.FORMERR), ((7, 1), message.FORMERR), ((12, 0xC0), message.FORMERR)):
        data = bytearray(good)
        data[change[0]] = change[1]
        assert message.parse_query(bytes(data)).refused == rcode
    version1 = good[:-5] + b"\1" + good[-4:]
    assert message.parse_query(version1).refused == message.BADVERS
    reply = message.reply(message.parse_query(version1), message.BADVERS, [], [], False, 512)
    assert reply[3] & 15 == 0 and reply[-6] == 1  # 16, its upper part in OPT
    assert message.parse_query(good + good[-11:]).refused == message.NOERROR  # bytes behind it are nobody's
    two = bytearray(good + good[-11:])
    two[11] = 2
    assert message.parse_query(bytes(two)).refused == message.FORMERR
    for bad in (b"", good[:11], bytes([good[0], good[1], 0x81]) + good[3:], bytes(65536)):
        with pytest.raises(PeerError):
            message.parse_query(bad)


def test_an_answer_is_one_to_what_was_asked():
    query = ask("a.example")
    asked = message.parse_query(query)
    good = reply_to(query, bytes([192, 0, 2, 9]))
    found = message.parse_answer(good, 7, asked.question)
    assert (found.rcode, found.records, found.lifetime) == (0, 1, 300)
    other = message.parse_query(ask("b.example")).question
    for data, ident, question in ((good, 8, asked.question), (good, 7, other), (query, 7, asked.question), (good[:-1], 7, asked.question)):
        with pytest.raises(PeerError):
            message.parse_answer(data, ident, question)
    with pytest.raises(PeerError):
        message.parse_answer(good, 7, asked.question[:-1] + b"\3")
    upper = message.parse_answer(good.replace(b"example", b"EXAMPLE"), 7, asked.question)
    assert b"\x07example" in message.relayed(asked, upper, 0, 512)  # in the asker's spelling


def test_a_relayed_answer_has_its_age_taken_off_and_our_own_opt():
    query = ask("a.example")
    asked = message.parse_query(query)
    opt = b"\0" + struct.pack(">HHIH", message.OPT, 4096, 0, 4) + b"\0\1\0\0"
    data = bytearray(reply_to(query, bytes(4)) + opt)
    data[11] = 1
    found = message.parse_answer(bytes(data), 7, asked.question)
    out = message.relayed(asked, found, 100, 512)
    assert message.read_records(out)[1][0][2] == 200 and out.endswith(message._opt(0, 0)) and out[11] == 1
    plain = message.relayed(message.parse_query(ask("a.example", edns=False)), found, 400, 512)
    assert plain[11] == 0 and message.read_records(plain)[1][0][2] == 0 and opt not in plain


def test_what_does_not_fit_says_come_back():
    query = ask("a.example", edns=False)
    found = message.parse_answer(reply_to(query, *[bytes(16)] * 30), 7, message.parse_query(query).question)
    out = message.relayed(message.parse_query(query), found, 0, 512)
    assert message.read_records(out) == (0, [], True) and len(out) < 512
    assert len(message.read_records(message.relayed(message.parse_query(query), found, 0, 65535))[1]) == 30


@given(st.binary(max_size=300), st.integers(0, 65535))
def test_nothing_raises_but_what_is_said(data, cut):
    ident = data[0] << 8 | data[1] if len(data) > 1 else 0
    for function in (message.parse_query, message.read_records, lambda d: message.parse_answer(d, ident, b"\0" * 5)):
        try:
            function(data)
        except PeerError:
            pass


@given(st.data())
def test_a_damaged_answer_is_refused_or_relayed_whole(draw):
    query = ask("a.example")
    data = bytearray(reply_to(query, bytes(4), bytes(16), authority=SOA))
    for _ in range(draw.draw(st.integers(1, 6))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    data = bytes(data[: draw.draw(st.integers(12, len(data)))])
    asked = message.parse_query(query)
    try:
        found = message.parse_answer(data, 7, asked.question)
    except PeerError:
        return
    out = message.relayed(asked, found, 5, 65535)
    again = message.parse_answer(out, 7, asked.question)
    assert (again.rcode & 15, again.records) == (found.rcode & 15, found.records)
    assert found.lifetime >= 0 and len(message.relayed(asked, found, 5, 512)) <= 512


# what is answered here


def own(world, name, kind="A"):
    found = world.names.answer(message.parse_query(ask(name, kind)))
    if found is None:
        return None
    return found[0], [ip.format_address(data) if k in (1, 28) else message.name_text(data) for _, k, _, data in found[1]]


def test_nodes_by_short_and_full_name_and_by_address():
    world = World()
    for name in ("camera-1", "CAMERA-1.tn.example", "camera-1.tn.example."):
        assert own(world, name) == (0, ["100.64.0.2"])
        assert own(world, name, "AAAA") == (0, ["fd7a:115c:a1e0::2"])
    assert own(world, "desk") == (0, ["100.64.0.1"])
    assert own(world, "only4", "AAAA") == (0, []) and own(world, "camera-1", "MX") == (0, [])
    assert own(world, "shared.other.example") == (0, ["100.64.0.4"]) and own(world, "other.example") is None
    assert own(world, "nobody.tn.example") == (message.NXDOMAIN, []) == own(world, "x.camera-1.tn.example")
    assert own(world, "tn.example") == (0, []) and own(world, "printer") is None
    for text, name in (("100.64.0.2", "camera-1"), ("fd7a:115c:a1e0::2", "camera-1"), ("100.64.0.1", "desk")):
        assert own(world, message.name_text(reverse_name(ip.parse_address(text))), "PTR") == (0, [name + ".tn.example"])
    for text in ("100.64.9.9", "100.127.0.1", "fd7a:115c:a1e0::99"):
        assert own(world, message.name_text(reverse_name(ip.parse_address(text))), "PTR") == (message.NXDOMAIN, [])
    for text in ("192.0.2.1", "100.63.0.1", "100.128.0.1", "fd7a:115c:a1e1::1"):
        assert own(world, message.name_text(reverse_name(ip.parse_address(text))), "PTR") is None
    assert own(world, "localhost") == (0, ["127.0.0.1"]) and own(world, "a.local") == (message.NXDOMAIN, [])


def test_without_magic_names_are_others_business():
    world = World(Proxied=False)
    assert own(world, "camera-1.tn.example") is None and not world.names.wanted
    assert own(world, message.name_text(reverse_name(ip.parse_address("100.64.0.2"))), "PTR") is None


def test_records_and_routes():
    records = [{"Name": "nas.tn.example", "Value": "192.168.1.5"}, {"Name": "a.b.tn.example", "Type": "AAAA", "Value": "fd00::1"}]
    records += [{"Name": "db.corp.example", "Value": "10.0.0.7"}, {"Name": "bad", "Value": "x"}]
    records += [{"Name": "t.tn.example", "Type": "TXT", "Value": "1.2.3.4"}]
    corp = [{"Addr": "10.0.0.53:5353"}, {"Addr": "https://dns.example/q"}]
    world = World(ExtraRecords=records, Routes={"corp.example": corp, "db.corp.example": [], "empty.example.": []})
    assert own(world, "nas.tn.example") == (0, ["192.168.1.5"]) and own(world, "a.b.tn.example", "AAAA") == (0, ["fd00::1"])
    assert own(world, "b.tn.example") == (0, []) and own(world, "db.corp.example") == (0, ["10.0.0.7"])
    assert own(world, "x.db.corp.example") == (message.NXDOMAIN, []) == own(world, "x.empty.example")
    assert own(world, "www.corp.example") is None and world.names.servers(message.encode_name("www.corp.example")) == [CORP]
    assert world.names.servers(message.encode_name("notcorp.example")) == [FIRST, SECOND]
    assert world.names.unusable == 3 and {"tn.example", "corp.example", "64.100.in-addr.arpa"} < set(world.names.domains)
    assert World(Resolvers=[{"Addr": "10.0.0.53:5353"}]).names.default == [CORP]
    assert World((), FallbackResolvers=[{"Addr": "10.0.0.53:5353"}]).names.default == [CORP]
    assert World((), Resolvers=[{"Addr": "100.100.100.100"}, {"Addr": "[fd7a:115c:a1e0::53]:53"}]).names.default == []


def test_reverse_names_are_read_as_they_are_written():
    for text in ("192.0.2.1", "fd7a:115c:a1e0::53", "2001:db8::"):
        assert reversed_address(reverse_name(ip.parse_address(text))) == ip.parse_address(text)
    for bad in ("1.2.3.in-addr.arpa", "1.2.3.256.in-addr.arpa", "g." * 32 + "ip6.arpa", "12." * 32 + "ip6.arpa", "in-addr.arpa"):
        assert reversed_address(message.encode_name(bad)) is None


# cache


def test_the_cache_forgets_by_time_and_by_size():
    cache = Cache(entries=3, size=1000)
    answer = message.Answer(bytes(100), 0, False, 1, 10, [])
    cache.put("a", answer, 0)
    assert cache.get("a", 9_999) == (answer, 9) and cache.get("a", 10_000) is None and cache.size == 0
    for key in "abcd":
        cache.put(key, answer, 0)
    assert cache.get("a", 0) is None and len(cache) == 3 and cache.size == 300
    cache.put("big", message.Answer(bytes(300), 0, False, 1, 10, []), 0)
    cache.put("never", message.Answer(bytes(10), 0, False, 1, 0, []), 0)
    assert cache.get("big", 0) is None and cache.get("never", 0) is None
    cache.put("long", message.Answer(bytes(10), message.NXDOMAIN, False, 0, 1 << 30, []), 0)
    assert cache.get("long", 299_999) and cache.get("long", 300_000) is None


# the resolver


def test_a_question_is_asked_once_and_kept():
    world = World()
    assert world.query("a", "www.example") is None and world.query("b", "WWW.example") is None
    [(number, (server, tcp, data))] = world.asks.items()
    assert (server, tcp) == (FIRST, False) and message.parse_query(data).id != 7
    world.answered(number, reply_to(data, bytes([192, 0, 2, 9])))
    assert world.addresses("a") == world.addresses("b") == ["192.0.2.9"] and number in world.dropped
    world.now += 100_000
    assert world.query("c", "www.example", ident=99)[:2] == b"\0\x63" and len(world.asks) == 1
    assert message.read_records(world.replies["c"])[1][0][2] == 200
    world.now += 200_000
    assert world.query("d", "www.example") is None and len(world.asks) == 2


def test_no_is_kept_as_long_as_its_soa_says():
    world = World()
    world.query("a", "no.example")
    world.answered(1, reply_to(world.asks[1][2], rcode=message.NXDOMAIN, authority=SOA))
    assert world.query("b", "no.example")[3] & 15 == message.NXDOMAIN
    world.now += 30_000
    assert world.query("c", "no.example") is None
    world.answered(2, reply_to(world.asks[2][2], rcode=message.NXDOMAIN))  # without one it is not kept
    assert world.query("d", "no.example") is None


def test_silent_servers_are_passed_over_and_come_last_afterwards():
    world = World()
    world.query("a", "one.example")
    world.advance(900)
    assert [ask[0] for ask in world.asks.values()] == [FIRST, SECOND]
    world.answered(2, reply_to(world.asks[2][2], bytes(4)))
    assert world.addresses("a") == ["0.0.0.0"] and set(world.dropped) == {1, 2}
    world.query("b", "two.example")
    assert world.asks[3][0] == SECOND
    world.advance(60_000)
    world.query("c", "three.example")
    assert world.asks[max(world.asks)][0] == FIRST


def test_nobody_answers():
    world = World()
    world.query("a", "one.example")
    world.advance(4_900)
    assert "a" not in world.replies and len(world.asks) == 4
    world.advance(200)
    assert world.replies["a"][3] & 15 == message.SERVFAIL and world.resolver.next_timer() is None
    assert set(world.dropped) == set(world.asks)


def test_refusals_go_on_at_once_and_the_last_word_is_relayed():
    world = World()
    world.query("a", "one.example")
    world.failed(1)
    assert world.asks[2][0] == SECOND
    world.answered(2, reply_to(world.asks[2][2], rcode=message.SERVFAIL))
    world.answered(3, reply_to(world.asks[3][2], rcode=message.REFUSED))
    world.failed(4)
    assert world.replies["a"][3] & 15 == message.SERVFAIL and len(world.asks) == 4


def test_truncated_comes_again_over_tcp_and_old_servers_without_edns():
    world = World()
    world.query("a", "one.example", tcp=True)
    world.answered(1, reply_to(world.asks[1][2], rcode=message.FORMERR))
    assert message.parse_query(world.asks[2][2]).edns is None and world.asks[2][:2] == (FIRST, False)
    world.answered(2, reply_to(world.asks[2][2], flags=message.TC))
    assert world.asks[3][:2] == (FIRST, True)
    world.answered(3, reply_to(world.asks[3][2], *[bytes(4)] * 100))
    assert len(world.addresses("a")) == 100
    assert message.read_records(world.query("b", "one.example"))[2]  # by UDP it is too long


def test_forged_answers_change_nothing_and_are_counted():
    world = World()
    world.query("a", "bank.example")
    data = world.asks[1][2]
    ident = message.parse_query(data).id
    for wrong in (ident ^ 1, ident ^ 0x8000):
        world.answered(1, reply_to(data, bytes([6, 6, 6, 6]), ident=wrong))
    world.answered(1, reply_to(ask("other.example", ident=ident), bytes([6, 6, 6, 6])))
    world.answered(1, b"")
    assert "a" not in world.replies and world.resolver.counts["wrong"] == 4
    world.answered(1, reply_to(data, bytes([192, 0, 2, 9])))
    assert world.addresses("a") == ["192.0.2.9"]
    world.answered(1, reply_to(data, bytes([6, 6, 6, 6])))  # late
    assert world.addresses("a") == ["192.0.2.9"]
    world.query("b", "bank2.example")
    for _ in range(25):
        world.answered(2, b"x")
    assert 2 in world.dropped and world.asks[3][0] == SECOND


def test_bounds():
    world = World()
    for number in range(TASKS + 5):
        world.query(number, f"n{number}.example")
    assert len(world.replies) == 5 and len(world.asks) == TASKS
    world = World()
    for number in range(ASKERS + 3):
        world.query(number, "same.example")
    assert len(world.replies) == 3 and len(world.asks) == 1
    world = World(())
    assert world.query("a", "x.example")[3] & 15 == message.SERVFAIL
    assert world.query("b", "x.example", kind=252)[3] & 15 == message.REFUSED
    assert not world.resolver.query("c", b"\0" * 5, False, 0)


def test_other_servers_forget_what_was_kept():
    world = World()
    world.query("a", "www.example")
    world.answered(1, reply_to(world.asks[1][2], bytes(4)))
    world.resolver.use(Names(netmap(), [FIRST, SECOND]))
    assert world.query("b", "www.example")
    world.resolver.use(Names(netmap(), [SECOND]))
    assert world.query("c", "www.example") is None and world.asks[2][0] == SECOND


@given(st.lists(st.tuples(st.sampled_from(["query", "answer", "junk", "fail", "wait"]), st.integers(0, 7)), max_size=60))
def test_every_question_has_one_answer(steps):
    world, asked = World(), 0
    for what, value in steps:
        open_asks = [number for number in world.asks if number not in world.dropped]
        if what == "query":
            asked += 1
            world.query(asked, f"n{value}.example", tcp=bool(value & 1))
        elif what == "wait":
            world.advance(value * 300)
        elif open_asks:
            number = open_asks[value % len(open_asks)]
            data = world.asks[number][2]
            if what == "fail":
                world.failed(number)
            else:
                rcode, flags = [(0, 0), (2, 0), (3, 0), (0, 0x200), (5, 0), (1, 0), (0, 0), (0, 0)][value]
                world.answered(number, b"junk" * value if what == "junk" else reply_to(data, bytes(4), rcode=rcode, flags=flags))
    world.advance(20_000)
    assert set(world.replies) == set(range(1, asked + 1)) and set(world.dropped) == set(world.asks)
    assert world.resolver.next_timer() is None


def test_service_addresses():
    assert [ip.format_address(address) for address in names.SERVICE] == ["100.100.100.100", "fd7a:115c:a1e0::53"]


def test_only_domains_are_told_to_others():
    hostile = ["--help", "a b", "x\ny", "a..b", "-x.example", "", "x" * 64]
    world = World(Domains=["tn.example", *hostile, "Ok_1.example."], Routes={"a b": [], "~x.example": []})
    assert world.names.search == ["tn.example", "ok_1.example"]
    assert all(names.is_domain(each) for each in world.names.domains) and "a b" not in world.names.domains
    assert len(World(Domains=[f"d{number}.example" for number in range(99)]).names.search) == 32


def test_with_an_exit_node_it_is_asked_and_servers_of_the_lan_are_not():
    lan, own, public = [(ip.parse_address(text), 53) for text in ("192.168.1.1", "127.0.0.1", "198.51.100.1")]
    more = [(ip.parse_address(text), 53) for text in ("fe80::1", "fd00::1", "10.0.0.1", "172.31.0.1", "100.64.0.9", "169.254.1.1")]
    exit = (ip.parse_address("100.64.0.2"), 80, "http")
    assert Names(netmap(), [lan, own, public, *more], [exit]).default == [exit, own, public]
    assert Names(netmap(), [lan, public]).default == [lan, public] and Names(netmap(), [lan], []).default == []
    assert Names(netmap(FallbackResolvers=[{"Addr": "10.0.0.53:5353"}]), [lan], []).default == [CORP]
    assert Names(netmap(Resolvers=[{"Addr": "10.0.0.53:5353"}]), [lan], [exit]).default == [CORP]
    assert names.reached_from_elsewhere(ip.parse_address("2001:db8::1")) and not names.reached_from_elsewhere(ip.parse_address("::"))


def test_guests_hear_what_everybody_is_told():
    world = World(Routes={"corp.example": [{"Addr": "10.0.0.53"}]}, ExtraRecords=[{"Name": "nas.tn.example", "Value": "192.168.1.5"}])

    def asked(token, name):
        assert world.resolver.query(token, ask(name), False, world.now, guest=True)
        world.turn()
        return world.replies.get(token)

    ours = ("camera-1", "camera-1.tn.example", "nobody.tn.example", "nas.tn.example", "www.corp.example", "localhost")
    for number, name in enumerate(ours):
        assert asked(number, name)[3] & 15 == message.REFUSED
    world.query("own", "www.corp.example")
    world.answered(1, reply_to(world.asks[1][2], bytes(4)))
    assert asked("kept", "www.corp.example")[3] & 15 == message.REFUSED
    assert asked("www", "www.example") is None and world.asks[2][0] == FIRST
    world.answered(2, reply_to(world.asks[2][2], bytes([192, 0, 2, 9])))
    assert world.addresses("www") == ["192.0.2.9"]
