"""DNS messages. Sources: RFC 1035, 2181, 2308, 3596, 6891, 7766.

    message   header 12 | questions | answers | authorities | additionals
    header    u16 id | u16 flags | u16 count of each of the four
    flags     QR 8000 | opcode 7800 | AA 0400 | TC 0200 | RD 0100 | RA 0080 | AD 0020 | CD 0010 | rcode 000f
    question  name | u16 type | u16 class
    record    name | u16 type | u16 class | u32 TTL in s | u16 length | data
    name      labels (u8 length 1..63, bytes), then 0 or a pointer (u16 c000 | offset of an earlier name); at most 255 bytes
    OPT       root name | 41 | class: UDP size | TTL: u8 upper rcode, u8 version, u16 flags (DO 8000) | options

A name here is its wire form without pointers, lower case where it is compared. Of an answer everything is checked that relaying and
caching depend on: the question, the bounds of every record, names; what stands in a record's data is its reader's matter.
"""

import struct

from skerry_core.errors import LocalError, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    Record = tuple[bytes, int, int, bytes]  # name, type, TTL, data

A, NS, CNAME, SOA, PTR, AAAA, OPT, ANY = 1, 2, 5, 6, 12, 28, 41, 255
IN = 1
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
OPCODE, RCODE = 0x7800, 0x000F
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
DO = 0x8000
HEADER = 12
OURS = 1232  # UDP size that we say: fits into the smallest IPv6 packet
LARGEST = 65535
PLAIN = 512  # who does not say how much they take
TYPES = {"A": A, "NS": NS, "CNAME": CNAME, "SOA": SOA, "PTR": PTR, "MX": 15, "TXT": 16, "AAAA": AAAA, "SRV": 33, "ANY": ANY}
RCODES = {NOERROR: "NOERROR", FORMERR: "FORMERR", SERVFAIL: "SERVFAIL", NXDOMAIN: "NXDOMAIN", NOTIMP: "NOTIMP", REFUSED: "REFUSED"}


def encode_name(text: str) -> bytes:
    """The wire form, lower case, of a name as people write it; a dot at its end changes nothing. LocalError: no name."""
    text = text[:-1] if text[-1:] == "." else text
    out = b""
    for label in text.split(".") if text else []:
        data = label.lower().encode()
        if not 1 <= len(data) <= 63:
            raise LocalError(f"name {text[:80]!r}: a label of {len(data)} bytes, need 1..63")
        out += bytes([len(data)]) + data
    if len(out) > 254:
        raise LocalError(f"name {text[:80]!r}: {len(out) + 1} bytes, at most 255")
    return out + b"\0"


def name_text(name: bytes) -> str:
    """For people: labels with dots between, what is not printable escaped, "." for the root."""
    words = []
    at = 0
    while at < len(name) and name[at]:
        label = name[at + 1 : at + 1 + name[at]]
        words.append("".join([chr(c) if 32 < c < 127 and c not in b".\\" else "\\%03d" % c for c in label]))
        at += 1 + name[at]
    return ".".join(words) or "."


def parents(name: bytes) -> "list[bytes]":
    """The name itself and everything above it, the root last."""
    found = [name]
    while name != b"\0":
        name = name[1 + name[0] :]
        found.append(name)
    return found


def read_name(data: bytes, at: int) -> "tuple[bytes, int]":
    """(wire form as it was sent, where reading goes on). PeerError: it leaves the message, is too long, or points anywhere but back."""
    out, after, before = b"", 0, at
    while True:
        if at >= len(data):
            raise PeerError(f"a name runs over the end of {len(data)} bytes")
        size = data[at]
        if size & 0xC0 == 0xC0:
            if at + 2 > len(data):
                raise PeerError(f"a name's pointer runs over the end of {len(data)} bytes")
            target = (size & 0x3F) << 8 | data[at + 1]
            after = after or at + 2
            if target >= before:
                raise PeerError(f"a name's pointer at {at} leads to {target}, not back")
            at = before = target
            continue
        if size & 0xC0:
            raise PeerError(f"a label of unknown kind {size >> 6}")
        if at + 1 + size > len(data):
            raise PeerError(f"a label of {size} bytes runs over the end of {len(data)} bytes")
        out += data[at : at + 1 + size]
        if len(out) > 255:
            raise PeerError("a name of more than 255 bytes")
        at += 1 + size
        if not size:
            return out, after or at


class Query:
    """A question: `id`, `flags`, `question` (bytes as they came), `name` (lower case), `type`, `klass`; `edns`: (UDP size, version, flags)
    or None; `refused`: the rcode that it deserves, NOERROR when it can be answered."""

    def __init__(self, ident: int, flags: int, question: bytes, edns: "tuple[int, int, int] | None" = None, refused: int = NOERROR) -> None:
        self.id, self.flags, self.question, self.edns, self.refused = ident, flags, question, edns, refused
        self.name, self.type, self.klass = b"\0", 0, 0
        if question:
            self.name = question[:-4].lower()
            self.type, self.klass = struct.unpack(">HH", question[-4:])

    @property
    def dnssec(self) -> bool:
        """Whether signatures are wanted."""
        return self.edns is not None and bool(self.edns[2] & DO)

    @property
    def room(self) -> int:
        """The longest UDP answer that the asker takes, within reason."""
        return PLAIN if self.edns is None else min(max(PLAIN, self.edns[0]), 4096)


def parse_query(data: bytes) -> Query:
    """PeerError: nothing that can be answered at all. What is understood in part says so in `refused`."""
    if not HEADER <= len(data) <= LARGEST:
        raise PeerError(f"a query of {len(data)} bytes, need {HEADER}..{LARGEST}")
    ident, flags, questions, answers, authorities, additionals = struct.unpack(">HHHHHH", data[:HEADER])
    if flags & QR:
        raise PeerError("an answer where a query was expected")
    if flags & OPCODE:
        return Query(ident, flags, b"", None, NOTIMP)
    if questions != 1 or answers or authorities or additionals > 8:
        return Query(ident, flags, b"", None, FORMERR)
    try:
        name, at = read_name(data, HEADER)
        if at != HEADER + len(name):
            raise PeerError("a question with a pointer")
        if at + 4 > len(data):
            raise PeerError("a question that is cut")
        question = data[HEADER : at + 4]
        edns = _query_edns(data, at + 4, additionals)
    except PeerError:
        return Query(ident, flags, b"", None, FORMERR)
    return Query(ident, flags, question, edns, BADVERS if edns is not None and edns[1] else NOERROR)


def _query_edns(data: bytes, at: int, count: int) -> "tuple[int, int, int] | None":
    found = None
    for _ in range(count):
        _name, kind, klass, ttl_at, at = _record(data, at)
        if kind == OPT:
            if found is not None:
                raise PeerError("two OPT records")
            found = (klass, data[ttl_at + 1], data[ttl_at + 2] << 8 | data[ttl_at + 3])
    return found


def _record(data: bytes, at: int) -> "tuple[bytes, int, int, int, int]":
    """(name, type, class, where the TTL is, where the next record is)."""
    name, at = read_name(data, at)
    if at + 10 > len(data):
        raise PeerError(f"a record's head runs over the end of {len(data)} bytes")
    kind, klass = struct.unpack(">HH", data[at : at + 4])
    end = at + 10 + (data[at + 8] << 8 | data[at + 9])
    if end > len(data):
        raise PeerError(f"a record's data runs over the end of {len(data)} bytes")
    return name, kind, klass, at + 4, end


class Answer:
    """A checked answer, without its OPT: `data`, `rcode`, `truncated`, `lifetime` in s (how long it may be kept, 0: not), `ttls` (where
    they are). `records` counts those in the answer section."""

    def __init__(self, data: bytes, rcode: int, truncated: bool, records: int, lifetime: int, ttls: "list[int]") -> None:
        self.data, self.rcode, self.truncated, self.records, self.lifetime, self.ttls = data, rcode, truncated, records, lifetime, ttls


def parse_answer(data: bytes, ident: int, question: bytes) -> Answer:
    """PeerError: not the answer to that question, or malformed."""
    if len(data) < HEADER:
        raise PeerError(f"an answer of {len(data)} bytes, need {HEADER}")
    found, flags, questions, answers, authorities, additionals = struct.unpack(">HHHHHH", data[:HEADER])
    if found != ident or not flags & QR or flags & OPCODE:
        raise PeerError("not the answer to what was asked")
    end = HEADER + len(question)
    if questions != 1 or data[HEADER:end].lower() != question.lower() or data[end - 4 : end] != question[-4:]:
        raise PeerError("an answer to another question")
    return _sections(data, end, flags, (answers, authorities, additionals))


def _sections(data: bytes, at: int, flags: int, counts: "tuple[int, int, int]") -> Answer:
    ttls: list[int] = []
    lives: list[int] = []
    negative, upper, kept = 0, 0, 0
    cut = len(data)
    for section in range(3):
        for _ in range(counts[section]):
            start = at
            _name, kind, _klass, ttl_at, at = _record(data, at)
            ttl = struct.unpack(">I", data[ttl_at : ttl_at + 4])[0]
            if kind == OPT and section == 2:
                upper, cut = data[ttl_at], min(cut, start)  # what comes behind it is of no use to anybody
                continue
            if cut < len(data):
                continue
            ttls.append(ttl_at)
            lives.append(0 if ttl >> 31 else ttl)  # RFC 2181: the top bit means 0
            kept += section == 2
            if kind == SOA and section == 1 and at - ttl_at >= 26:
                negative = min(lives[-1], struct.unpack(">I", data[at - 4 : at])[0])
    rcode = upper << 4 | flags & RCODE
    positive = rcode == NOERROR and counts[0]
    lifetime = min(lives) if positive and lives else negative if rcode in (NOERROR, NXDOMAIN) else 0
    body = data[: min(cut, at)]
    head = struct.pack(">HHHHHH", 0, flags, 1, counts[0], counts[1], kept)
    return Answer(head + body[HEADER:], rcode, bool(flags & TC), counts[0], lifetime, ttls)


def query(ident: int, question: bytes, flags: int, edns: bool, dnssec: bool) -> bytes:
    """A question for a server."""
    head = struct.pack(">HHHHHH", ident, flags, 1, 0, 0, 1 if edns else 0)
    return head + question + (_opt(0, DO if dnssec else 0) if edns else b"")


def ask(ident: int, name: bytes, kind: int) -> bytes:
    """The question that a simple program asks."""
    return query(ident, name + struct.pack(">HH", kind, IN), RD, True, False)


def _opt(upper: int, flags: int) -> bytes:
    return b"\0" + struct.pack(">HHBBHH", OPT, OURS, upper, 0, flags, 0)


def relayed(asked: Query, answer: Answer, age: int, room: int) -> bytes:
    """An answer of somebody else for this asker; `age` in s is taken off its TTLs."""
    out = bytearray(answer.data)
    flags = (answer.data[2] << 8 | answer.data[3]) & (AD | RCODE)
    out[0:4] = struct.pack(">HH", asked.id, QR | RA | flags | asked.flags & (RD | CD))
    out[HEADER : HEADER + len(asked.question)] = asked.question  # in the asker's spelling
    for at in answer.ttls if age > 0 else []:
        ttl = struct.unpack(">I", bytes(out[at : at + 4]))[0]
        out[at : at + 4] = struct.pack(">I", max(0, ttl - age) if not ttl >> 31 else 0)
    return _finished(asked, bytes(out), answer.rcode >> 4, room)


def reply(asked: Query, rcode: int, answers: "list[Record]", authority: "list[Record]", authoritative: bool, room: int) -> bytes:
    """Our own answer."""
    flags = QR | RA | (AA if authoritative else 0) | asked.flags & (RD | CD | OPCODE) | rcode & RCODE
    head = struct.pack(">HHHHHH", asked.id, flags, 1 if asked.question else 0, len(answers), len(authority), 0)
    body = b"".join([_encoded(asked, record) for record in answers + authority])
    return _finished(asked, head + asked.question + body, rcode >> 4, room)


def _encoded(asked: Query, record: "Record") -> bytes:
    name, kind, ttl, data = record
    owner = b"\xc0\x0c" if name == asked.name else name
    return owner + struct.pack(">HHIH", kind, IN, ttl, len(data)) + data


def _finished(asked: Query, out: bytes, upper: int, room: int) -> bytes:
    """With OPT where the asker has one, and cut to a hint to come back over TCP when it is too long."""
    opt = _opt(upper, asked.edns[2] & DO) if asked.edns is not None else b""
    if len(out) + len(opt) > room:
        flags = (out[2] << 8 | out[3]) | TC
        out = out[:2] + struct.pack(">HHHHH", flags, 1 if asked.question else 0, 0, 0, 0) + asked.question
    if opt:
        count = (out[10] << 8 | out[11]) + 1
        out = out[:10] + struct.pack(">H", count) + out[12:] + opt
    return out


def read_records(data: bytes) -> "tuple[int, list[Record], bool]":
    """(rcode, the answer section, truncated) of a message, for programs that ask. PeerError: malformed."""
    if len(data) < HEADER:
        raise PeerError(f"an answer of {len(data)} bytes, need {HEADER}")
    _ident, flags, questions, answers, _authorities, _additionals = struct.unpack(">HHHHHH", data[:HEADER])
    at = HEADER
    for _ in range(questions):
        _name, at = read_name(data, at)
        at += 4
    found: list[Record] = []
    for _ in range(answers):
        name, kind, _klass, ttl_at, end = _record(data, at)
        start = ttl_at + 6
        value = data[start:end]
        if kind in (NS, CNAME, PTR):
            value, _after = read_name(data, start)
        found.append((name, kind, struct.unpack(">I", data[ttl_at : ttl_at + 4])[0], value))
        at = end
    return flags & RCODE, found, bool(flags & TC)
