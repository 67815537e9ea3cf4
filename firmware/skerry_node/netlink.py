"""rtnetlink: what this node asks of the kernel's network tables, and hears from them (rtnetlink(7), RFC 3549).

```
message    u32 length | u16 type | u16 flags | u32 sequence | u32 port | body, padded to 4        all in host byte order
attribute  u16 length (with this header) | u16 type | value, padded to 4
link   16  u8 family | pad | u16 type | i32 index | u32 flags | u32 change
address 8  u8 family | u8 prefix length | u8 flags | u8 scope | u32 index
route  12  u8 family | u8 dst bits | u8 src bits | u8 tos | u8 table | u8 protocol | u8 scope | u8 type | u32 flags
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
REQUEST, ACK, DUMP, EXCL, CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
IFLA_IFNAME, IFLA_MTU, IFLA_AF_SPEC, IFLA_INET6_ADDR_GEN_MODE = 3, 4, 26, 8
IFA_ADDRESS, IFA_LOCAL, IFA_CACHEINFO, IFA_FLAGS = 1, 2, 6, 8
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_TABLE = 1, 4, 5, 6, 15
RTNH_DEAD, RTNH_LINKDOWN = 0x1, 0x10
IFF_UP, IFF_LOOPBACK, IFF_RUNNING = 0x1, 0x8, 0x40
IFA_F_NODAD, IFA_F_DEPRECATED, IFA_F_TENTATIVE, IFA_F_DADFAILED = 0x02, 0x20, 0x40, 0x08
SCOPE_UNIVERSE, SCOPE_LINK, SCOPE_HOST, TABLE_MAIN, TYPE_UNICAST = 0, 253, 254, 254, 1
FOR_EVER = 0xFFFFFFFF
GROUPS = 0x1 | 0x10 | 0x100 | 0x40 | 0x400  # link, addresses and routes of both families
PROTOCOL = 83  # our mark on every route we make (rtm_protocol); not in use by others in /etc/iproute2/rt_protos
METRIC = 5270  # behind what the host has anyway: a peer's offer of our own LAN must not take it away


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

    def routes(self, index: int) -> "list[Prefix]":
        """Our own routes (PROTOCOL) in the main table through the link `index`."""
        found = []
        for body in self._request(GETROUTE, DUMP, struct.pack("=BBBBBBBBI", *(0,) * 9)):
            family, bits, _src, _tos, table, protocol = struct.unpack_from("=6B", body)
            attribute = attributes(body[12:])
            if protocol != PROTOCOL or table != TABLE_MAIN or attribute.get(RTA_OIF) != struct.pack("=I", index):
                continue
            size = 16 if family == socket.AF_INET6 else 4
            found.append((attribute.get(RTA_DST, bytes(size)), bits))
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
        """Add a route of ours. OSError EEXIST if somebody else has it with our metric."""
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
        scope = SCOPE_LINK if len(address) == 4 else SCOPE_UNIVERSE
        header = struct.pack("=BBBBBBBBI", _family(address), bits, 0, 0, TABLE_MAIN, PROTOCOL, scope, TYPE_UNICAST, 0)
        tail = attribute(RTA_OIF, struct.pack("=I", index)) + attribute(RTA_PRIORITY, struct.pack("=I", METRIC))
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
