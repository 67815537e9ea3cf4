"""rtnetlink: what this node asks of the kernel's network tables, and hears from them (rtnetlink(7), RFC 3549).

```
message    u32 length | u16 type | u16 flags | u32 sequence | u32 port | body, padded to 4        all in host byte order
attribute  u16 length (with this header) | u16 type | value, padded to 4
link   16  u8 family | pad | u16 type | i32 index | u32 flags | u32 change
address 8  u8 family | u8 prefix length | u8 flags | u8 scope | u32 index
route  12  u8 family | u8 dst bits | u8 src bits | u8 tos | u8 table | u8 protocol | u8 scope | u8 type | u32 flags
rule   12  u8 family | u8 dst bits | u8 src bits | u8 tos | u8 table | pad 2 | u8 action | u32 flags
```
Each request is answered by the kernel before `recv` returns, so nothing here waits. No parsing of other programs'
output, no process per change. It does not know which addresses are wanted; `interface.py` does.
"""

import errno
import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Prefix = tuple[bytes, int]

NLMSG_ERROR, NLMSG_DONE = 2, 3
NEWLINK, GETLINK = 16, 18
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWRULE, DELRULE, GETRULE = 32, 33, 34
REQUEST, ACK, DUMP, EXCL, CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_AF_SPEC, IFLA_INET6_ADDR_GEN_MODE, IFLA_INFO_KIND = 3, 4, 18, 26, 8, 1
IFA_ADDRESS, IFA_LOCAL, IFA_CACHEINFO, IFA_FLAGS = 1, 2, 6, 8
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_MULTIPATH, RTA_TABLE, RTA_VIA = 1, 4, 5, 6, 9, 15, 18
FRA_PRIORITY, FRA_FWMARK, FRA_TABLE, FRA_FWMASK, FRA_PROTOCOL = 6, 10, 15, 16, 21
RTNH_DEAD, RTNH_LINKDOWN = 0x1, 0x10
IFF_UP, IFF_LOOPBACK, IFF_RUNNING = 0x1, 0x8, 0x40
IFA_F_NODAD, IFA_F_DEPRECATED, IFA_F_TENTATIVE, IFA_F_DADFAILED = 0x02, 0x20, 0x40, 0x08
SCOPE_UNIVERSE, SCOPE_LINK, SCOPE_HOST, TABLE_DEFAULT, TABLE_MAIN = 0, 253, 254, 253, 254
FOR_EVER = 0xFFFFFFFF
TYPE_UNICAST, TYPE_THROW = 1, 9
TO_TABLE, UNREACHABLE = 1, 7  # actions of a rule
GROUPS = 0x1 | 0x10 | 0x100 | 0x40 | 0x400  # link, addresses and routes of both families
PROTOCOL = 83  # our mark on every route we make (rtm_protocol); not in use by others in /etc/iproute2/rt_protos
LINK_LOCAL = bytes((0xFE, 0x80))
TABLE = 5270  # ours
MARK, MARK_MASK = 0x530000, 0xFF0000  # on every packet skerryd itself sends (SO_MARK; sockets.h has it too): it never enters the tunnel
RULES = (  # priority, marked, action, table; both families
    (5310, True, TO_TABLE, TABLE_MAIN),
    (5311, True, TO_TABLE, TABLE_DEFAULT),
    (5312, True, UNREACHABLE, 0),
    (5320, False, TO_TABLE, TABLE),
)


class Monitor:
    """A socket that becomes readable when links, addresses or routes change. What changed is not told: look again."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.bind((0, GROUPS))

    def fileno(self) -> int:
        """For the selector."""
        return self._socket.fileno()

    def drain(self) -> None:
        """Forget everything that was reported; an overrun (ENOBUFS) is a report as well."""
        for _ in range(1000):
            try:
                self._socket.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                continue

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


class Tables:
    """Reads and changes the kernel's tables. Every method raises OSError with the kernel's reason."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._socket.settimeout(5)
        self._sequence = 0

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def links(self) -> "dict[int, tuple[str, int]]":
        """All links: index -> (name, flags)."""
        found = {}
        for body in self._request(GETLINK, DUMP, struct.pack("=BxHiII", 0, 0, 0, 0, 0)):
            index, flags = struct.unpack_from("=iI", body, 4)
            name = attributes(body[16:]).get(IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace")
            found[index] = (name, flags)
        return found

    def bridges(self) -> "list[str]":
        """Names of the bridges."""
        found = []
        for body in self._request(GETLINK, DUMP, struct.pack("=BxHiII", 0, 0, 0, 0, 0)):
            known = attributes(body[16:])
            if attributes(known.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND, b"").rstrip(b"\0") == b"bridge":
                found.append(known.get(IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace"))
        return sorted(found)

    def addresses(self) -> "list[tuple[int, bytes, int, int, int]]":
        """All addresses: (link index, address, prefix bits, scope, IFA_F_* flags)."""
        found = []
        for body in self._request(GETADDR, DUMP, struct.pack("=BBBBI", 0, 0, 0, 0, 0)):
            _family, bits, flags, scope, index = struct.unpack_from("=BBBBI", body)
            attribute = attributes(body[8:])
            address = attribute.get(IFA_LOCAL) or attribute.get(IFA_ADDRESS)
            if IFA_FLAGS in attribute:
                flags = struct.unpack("=I", attribute[IFA_FLAGS][:4])[0]
            if address:
                found.append((index, address, bits, scope, flags))
        return found

    def routes(self, index: int) -> "tuple[list[Prefix], list[Prefix]]":
        """Our own routes: those through the link `index`, and those thrown back to the host's tables."""
        through, thrown = [], []
        for kind, prefix, attribute, protocol in self._routes(TABLE):
            if protocol == PROTOCOL and kind == TYPE_THROW:
                thrown.append(prefix)
            elif protocol == PROTOCOL and attribute.get(RTA_OIF) == struct.pack("=I", index):
                through.append(prefix)
        return through, thrown

    def host_routes(self, index: int) -> "list[tuple[Prefix, bool]]":
        """The host's own, without default ones and without those on the link `index`: (prefix, whether it is a link's). Its routers
        count as links of one address: they may have that of a peer, and answer DNS and DHCP."""
        found = []
        for kind, prefix, attribute, _protocol in self._routes(TABLE_MAIN):
            if kind != TYPE_UNICAST or attribute.get(RTA_OIF) == struct.pack("=I", index):
                continue
            if len(router := attribute.get(RTA_GATEWAY, b"")) in (4, 16) and router[:2] != LINK_LOCAL:
                found.append(((router, 8 * len(router)), True))
            if prefix[1]:
                found.append((prefix, not {RTA_GATEWAY, RTA_MULTIPATH, RTA_VIA} & set(attribute)))
        return found

    def defaults(self) -> "list[tuple[int, int, int, bytes]]":
        """Default routes of the main table that lead somewhere: (family 4 or 6, metric, link index, gateway or b"")."""
        found = []
        for body in self._request(GETROUTE, DUMP, struct.pack("=BBBBBBBBI", *(0,) * 9)):
            family, bits, _src, _tos, table, _protocol, _scope, kind, flags = struct.unpack_from("=8BI", body)
            if bits or table != TABLE_MAIN or kind != TYPE_UNICAST or flags & (RTNH_DEAD | RTNH_LINKDOWN):
                continue
            attribute = attributes(body[12:])
            metric, link = (struct.unpack("=I", attribute.get(each, bytes(4)))[0] for each in (RTA_PRIORITY, RTA_OIF))
            found.append((6 if family == socket.AF_INET6 else 4, metric, link, attribute.get(RTA_GATEWAY, b"")))
        return found

    def _routes(self, table: int) -> "Iterator[tuple[int, Prefix, dict[int, bytes], int]]":
        for body in self._request(GETROUTE, DUMP, struct.pack("=BBBBBBBBI", *(0,) * 9)):
            family, bits, _src, _tos, short, protocol, _scope, kind = struct.unpack_from("=8B", body)
            attribute = attributes(body[12:])
            number = struct.unpack("=I", attribute[RTA_TABLE][:4])[0] if RTA_TABLE in attribute else short
            size = {socket.AF_INET: 4, socket.AF_INET6: 16}.get(family)
            if number == table and size and len(prefix := attribute.get(RTA_DST, bytes(size))) == size:
                yield kind, (prefix, bits), attribute, protocol

    def rules(self) -> "set[tuple[int, int]]":
        """(family, priority) of our own rules."""
        found = set()
        for body in self._request(GETRULE, DUMP, struct.pack("=BBBBBxxBI", *(0,) * 7)):
            attribute = attributes(body[12:])
            if attribute.get(FRA_PROTOCOL) == bytes((PROTOCOL,)) and FRA_PRIORITY in attribute:
                found.add((body[0], struct.unpack("=I", attribute[FRA_PRIORITY][:4])[0]))
        return found

    def add_rule(self, family: int, rule: "tuple[int, bool, int, int]") -> None:
        """Add one of RULES; one that is there already is fine."""
        self._quiet(errno.EEXIST, NEWRULE, CREATE | EXCL, _rule(family, rule))

    def remove_rule(self, family: int, rule: "tuple[int, bool, int, int]") -> None:
        """Remove it; one that is gone already is fine."""
        self._quiet(errno.ENOENT, DELRULE, 0, _rule(family, rule))

    def set_link(self, index: int, up: bool, mtu: int) -> None:
        """Set the MTU and bring the link up or down. No link-local address is made up for it: nobody could answer there."""
        inet6 = attribute(IFLA_AF_SPEC, attribute(socket.AF_INET6, attribute(IFLA_INET6_ADDR_GEN_MODE, b"\1")))
        try:  # before it goes up: in one message the flags come first
            self._request(NEWLINK, ACK, struct.pack("=BxHiII", 0, 0, index, 0, 0) + inet6)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP):  # a kernel without IPv6
                raise
        header = struct.pack("=BxHiII", 0, 0, index, IFF_UP if up else 0, IFF_UP)
        self._request(NEWLINK, ACK, header + attribute(IFLA_MTU, struct.pack("=I", mtu)))

    def add_address(self, index: int, prefix: "Prefix") -> None:
        """Add an address; one that is there already is fine."""
        self._quiet(errno.EEXIST, NEWADDR, CREATE | EXCL, self._address(index, prefix))

    def add_service_address(self, index: int, prefix: "Prefix") -> None:
        """Add an address that is answered on, and that nothing is sent from which did not ask for it."""
        self._quiet(errno.EEXIST, NEWADDR, CREATE | EXCL, self._address(index, prefix, True))

    def remove_address(self, index: int, prefix: "Prefix") -> None:
        """Remove an address; one that is gone already is fine."""
        self._quiet(errno.EADDRNOTAVAIL, DELADDR, 0, self._address(index, prefix))

    def add_route(self, index: int, prefix: "Prefix") -> None:
        """Add a route of ours; `index` 0: one that throws back. OSError EEXIST if it is there."""
        self._request(NEWROUTE, ACK | CREATE | EXCL, self._route(index, prefix))

    def remove_route(self, index: int, prefix: "Prefix") -> None:
        """Remove a route of ours; one that is gone already is fine."""
        self._quiet(errno.ESRCH, DELROUTE, 0, self._route(index, prefix))

    def _address(self, index: int, prefix: "Prefix", service: bool = False) -> bytes:
        address, bits = prefix
        scope = SCOPE_HOST if service and len(address) == 4 else SCOPE_UNIVERSE
        header = struct.pack("=BBBBI", _family(address), bits, IFA_F_NODAD if len(address) == 16 else 0, scope, index)
        # what IPv4 does with the scope, IPv6 does with "deprecated": a preferred lifetime of 0
        lifetimes = attribute(IFA_CACHEINFO, struct.pack("=IIII", 0, FOR_EVER, 0, 0)) if service and len(address) == 16 else b""
        return header + attribute(IFA_LOCAL, address) + attribute(IFA_ADDRESS, address) + lifetimes

    def _route(self, index: int, prefix: "Prefix") -> bytes:
        address, bits = prefix
        scope = SCOPE_LINK if index and len(address) == 4 else SCOPE_UNIVERSE
        kind = TYPE_UNICAST if index else TYPE_THROW
        header = struct.pack("=BBBBBBBBI", _family(address), bits, 0, 0, 0, PROTOCOL, scope, kind, 0)
        tail = attribute(RTA_TABLE, struct.pack("=I", TABLE))
        if index:
            tail += attribute(RTA_OIF, struct.pack("=I", index))
        return header + attribute(RTA_DST, address) + tail

    def _quiet(self, accepted: int, kind: int, flags: int, body: bytes) -> None:
        try:
            self._request(kind, ACK | flags, body)
        except OSError as error:
            if error.errno != accepted:
                raise

    def _request(self, kind: int, flags: int, body: bytes) -> "list[bytes]":
        self._sequence += 1
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, REQUEST | flags, self._sequence, 0) + body)
        answers: list[bytes] = []
        while True:
            for answer, sequence, payload in messages(self._socket.recv(1 << 17)):
                if sequence != self._sequence:
                    continue
                if answer == NLMSG_DONE:
                    return answers
                if answer == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", payload)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return answers
                answers.append(payload)


def messages(data: bytes) -> "Iterator[tuple[int, int, bytes]]":
    """Cut a datagram into (type, sequence, body)."""
    while len(data) >= 16:
        length, kind, _flags, sequence, _port = struct.unpack_from("=IHHII", data)
        if not 16 <= length <= len(data):
            return
        yield kind, sequence, data[16:length]
        data = data[length + 3 & ~3 :]


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> "dict[int, bytes]":
    """The attributes in `data` by type; the nesting and byte-order bits are masked."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if not 4 <= length <= len(data):
            break
        found[kind & 0x3FFF] = data[4:length]
        data = data[length + 3 & ~3 :]
    return found


def _family(address: bytes) -> int:
    return socket.AF_INET6 if len(address) == 16 else socket.AF_INET


def _rule(family: int, rule: "tuple[int, bool, int, int]") -> bytes:
    priority, marked, action, table = rule
    body = struct.pack("=BBBBBxxBI", family, 0, 0, 0, 0, action, 0) + attribute(FRA_PRIORITY, struct.pack("=I", priority))
    if marked:
        body += attribute(FRA_FWMARK, struct.pack("=I", MARK)) + attribute(FRA_FWMASK, struct.pack("=I", MARK_MASK))
    if table:
        body += attribute(FRA_TABLE, struct.pack("=I", table))
    return body + attribute(FRA_PROTOCOL, bytes((PROTOCOL,)))


def bypass(sock: socket.socket) -> None:
    """What this socket sends never enters the tunnel. Without the right to say so nothing was routed into it either."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
    except PermissionError:
        pass
