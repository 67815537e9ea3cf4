"""Why the packet path dropped packets, one sentence for each reason it counts (`drop_<reason>`)."""

SENTENCES = {
    "malformed": "no whole packet or frame: cut short, or its lengths do not fit together.",
    "unknown": "a UDP datagram of no protocol this node speaks.",
    "mac1": "a handshake not meant for this node's key.",
    "cookie": "a handshake under load without a cookie; its sender was given one.",
    "index": "a message for a session that is over or never was.",
    "auth": "a message that does not open with its session's key: forged or damaged.",
    "replay": "a message that came before, or too late to tell.",
    "source": "a peer sent from an address that is not its own.",
    "no_route": "a packet to an address that no peer has.",
    "queue": "packets waited for a session longer than there is room for.",
    "poll": "control messages came faster than skerryd handled them.",
    "rate": "control messages from one place, or in all, came faster than skerryd looks at.",
    "output": "a test's queue was full.",
    "relay": "the relay was away, or its connection too slow.",
    "send": "the system did not send: no network, no socket for the path, or its buffer was full.",
    "tun": "the system did not take a packet: the interface is down, gone or full.",
    "multicast": "multicast does not go through the tunnel.",
    "link_local": "link-local addresses do not go through the tunnel.",
    "destination": "a packet for an address that this node neither has nor routes.",
    "tsmp": "a control packet of another implementation, which is not for the system.",
    "filter": "the network's policy does not allow it.",
    "ecn": "a router marked congestion on a packet whose sender does not know such marks.",
    "too_big": "a packet larger than the tunnel carries; its sender is told so where the protocol allows.",
}


def reasons(counters: "dict[str, int]") -> "list[dict[str, int | str]]":
    """The reasons that occurred, the most frequent first."""
    found = [(count, name.removeprefix("drop_")) for name, count in counters.items() if name.startswith("drop_") and count]
    return [
        {"reason": reason, "packets": count, "sentence": SENTENCES.get(reason, "not described.")}
        for count, reason in sorted(found, key=lambda each: (-each[0], each[1]))
    ]
