"""What is wrong with a node's surroundings: facts in, a verdict with its reason and a remedy out. Nothing here measures.

    facts   running                       whether the node is meant to be connected, and has keys
            wall gateway_time             ms since 1970: this host's clock, and what the gateway said (None: it said nothing yet)
            dns      {servers[] problems[] named}            `named`: the gateway has a name that must be looked up
            links    [{name mtu}]                            those with a default route
            addresses                                        how many of this host's addresses can be used towards the network
            udp                                              whether a STUN server answered; None: there was none to ask
            blocking []                                      sentences about firewalls of others, each with what to do
            gateway  {url connected away_ms error}           away_ms None: never reached since the start
            relays   [{code error latency_ms home}]
            keys     {member approved expired expires}       `expires` in ms since 1970 or None

A row is {"check", "verdict": "good" | "warning" | "bad", "reason": a sentence, "remedy": a sentence or ""}.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Facts = dict[str, Any]
    Row = dict[str, str]

GOOD, WARNING, BAD = "good", "warning", "bad"
INSIDE, AROUND = 1280, 80  # bytes: a packet in the tunnel, and IPv6, UDP and WireGuard around it
OLDEST = 1_700_000_000_000  # ms; a clock before this was never set
SKEW_WARNING, SKEW_BAD = 60_000, 86_400_000  # ms; a day: certificates and keys are then judged wrong
SOON = 7 * 86_400_000  # ms before a key expires


def examine(facts: "Facts") -> "list[Row]":
    """All checks, in the order in which one depends on another."""
    found = []
    for name, check in CHECKS:
        judged, reason, remedy = check(facts)
        found.append({"check": name, "verdict": judged, "reason": reason, "remedy": remedy})
    return found


def verdict(rows: "list[Row]") -> str:
    """The worst."""
    found = [row["verdict"] for row in rows]
    return BAD if BAD in found else WARNING if WARNING in found else GOOD


def _uplink(facts: "Facts") -> "tuple[str, str, str]":
    names = [link["name"] for link in facts["links"]]
    if not facts["addresses"]:
        return BAD, "This host has no address towards any network.", "Plug in the cable, or join the wireless network."
    if not names:
        reason = "This host has addresses but no default route, so only its own links are reached."
        return BAD, reason, "Have the router or DHCP give a default route: ip route shows what there is."
    return GOOD, f"The way to the Internet is {' and '.join(names)}.", ""


def _mtu(facts: "Facts") -> "tuple[str, str, str]":
    least = INSIDE + AROUND
    small = [link for link in facts["links"] if link["mtu"] is not None and link["mtu"] < least]
    if small:
        reason = f"The MTU of {small[0]['name']} is {small[0]['mtu']} bytes; the tunnel needs {least} for its packets of {INSIDE}."
        return WARNING, reason, f"Raise it where the link allows: ip link set {small[0]['name']} mtu {least}."
    known = [link for link in facts["links"] if link["mtu"] is not None]
    if not known:
        return WARNING, "No link leads to the Internet, so there is no MTU to look at.", "See uplink."
    return GOOD, "The MTU is " + ", ".join([f"{link['mtu']} bytes on {link['name']}" for link in known]) + ".", ""


def _clock(facts: "Facts") -> "tuple[str, str, str]":
    wall, gateway = facts["wall"], facts["gateway_time"]
    remedy = "Switch on time synchronisation: timedatectl set-ntp true."
    if gateway is not None and abs(wall - gateway) > SKEW_WARNING:
        off = wall - gateway
        reason = f"This host's clock is {_span(abs(off))} {'ahead of' if off > 0 else 'behind'} the gateway's."
        return BAD if abs(off) >= SKEW_BAD else WARNING, reason, remedy
    if wall < OLDEST:
        return BAD, "This host's clock was never set, so certificates look as if they were not valid yet.", remedy
    if gateway is None:
        return GOOD, "The clock is plausible; the gateway has not told its own yet.", ""
    return GOOD, "The clock agrees with the gateway's.", ""


def _dns(facts: "Facts") -> "tuple[str, str, str]":
    dns = facts["dns"]
    if not dns["servers"]:
        reason = "This host knows no DNS server (/etc/resolv.conf names none)."
        return BAD if dns["named"] else WARNING, reason, "Have DHCP give one, or write a nameserver line into /etc/resolv.conf."
    if dns["problems"]:
        return WARNING, dns["problems"][0], "skerry dns status shows who answers names on this host."
    return GOOD, f"Names are looked up at {', '.join(dns['servers'][:3])}.", ""


def _firewall(facts: "Facts") -> "tuple[str, str, str]":
    if facts["blocking"]:
        reason, _, remedy = facts["blocking"][0].partition("; ")
        return BAD, reason + ".", remedy[:1].upper() + remedy[1:] if remedy else "Look at: nft list ruleset."
    if facts["udp"] is False:
        reason = "No STUN server answers over UDP, so every path goes through a relay over TCP."
        return WARNING, reason, "Let outgoing UDP through, here and at the router, and UDP port 3478 in at the gateway."
    if facts["udp"] is None:
        return GOOD, "Nothing is known to be in the way; there was no STUN server to ask.", ""
    return GOOD, "UDP gets out and is answered; nothing drops what this node forwards.", ""


def _gateway(facts: "Facts") -> "tuple[str, str, str]":
    gateway = facts["gateway"]
    if not gateway["url"]:
        return BAD, "This node knows no gateway.", "Join a network: skerry up --gateway URL."
    if gateway["connected"]:
        return GOOD, f"{gateway['url']} answers.", ""
    if not facts["running"]:
        return WARNING, f"This node is down and does not ask {gateway['url']}.", "Connect it: skerry up."
    since = "has not answered since the start" if gateway["away_ms"] is None else f"has not answered for {_span(gateway['away_ms'])}"
    error = f": {gateway['error'].rstrip('.')}" if gateway["error"] else ""
    remedy = "See that the gateway runs and that its address is reached from here; known peers are reached without it."
    return BAD, f"{gateway['url']} {since}{error}.", remedy


def _relay(facts: "Facts") -> "tuple[str, str, str]":
    relays = facts["relays"]
    if not facts["running"]:
        return WARNING, "This node is down and uses no relay.", "Connect it: skerry up."
    if not relays:
        reason = "The gateway has named no relay, so peers behind hard NATs are not reached."
        return WARNING, reason, "Connect to the gateway once; its list of relays is kept."
    failed = [each for each in relays if each["error"]]
    home = [each for each in relays if each["home"]]
    if [each for each in home if each["error"]] or len(failed) == len(relays):
        worst = [each for each in failed if each["home"]] or failed
        reason = f"The relay {worst[0]['code']} is not reachable: {worst[0]['error'].rstrip('.')}."
        return BAD, reason, "See that the relay runs and that its TCP port is reached from here."
    if failed:
        reason = f"The relay {failed[0]['code']} is not reachable: {failed[0]['error'].rstrip('.')}."
        return WARNING, reason, "Others serve meanwhile; see that it runs."
    if not home:
        return WARNING, "No relay was chosen as home yet, so peers cannot call this node through one.", "Ask again in some seconds."
    latency = "" if home[0]["latency_ms"] is None else f", {home[0]['latency_ms']} ms away"
    return GOOD, f"The home relay is {home[0]['code']}{latency}.", ""


def _keys(facts: "Facts") -> "tuple[str, str, str]":
    keys = facts["keys"]
    if not keys["member"]:
        return BAD, "This node is not a member of a network.", "Join one: skerry up --gateway URL, with a key or by signing in."
    if not keys["approved"]:
        return BAD, "The gateway's owner has not approved this node yet.", "Approve it at the gateway, in the console under Nodes."
    now = facts["wall"] if facts["gateway_time"] is None else facts["gateway_time"]
    left = None if keys["expires"] is None else keys["expires"] - now
    if keys["expired"] or (left is not None and left <= 0 and facts["gateway_time"] is not None):
        return BAD, "This node's key has expired, so no peer talks to it.", "Sign in again: skerry up."
    if left is not None and 0 < left < SOON:
        return WARNING, f"This node's key expires in {_span(left)}.", "Sign in again before that, or switch expiry off at the gateway."
    return GOOD, "This node's key is valid" + ("." if left is None or left <= 0 else f" for {_span(left)}."), ""


def _span(milliseconds: int) -> str:
    """In the largest unit that fits."""
    seconds = milliseconds // 1000
    for size, unit in ((31_557_600, "year"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size or size == 1:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return ""


CHECKS = (
    ("uplink", _uplink),
    ("mtu", _mtu),
    ("clock", _clock),
    ("dns", _dns),
    ("firewall", _firewall),
    ("gateway", _gateway),
    ("relay", _relay),
    ("keys", _keys),
)
