"""The labs that measures share: a gateway and pairs on public hosts, each pair of one kind, all connected before anything is measured."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.bench import OURS, THEIRS
from tests.bench.pair import Pair
from tests.netlab import Lab
from tests.netlab.lab import lab_with_logs, until
from tests.netlab.programs import Derper, Gateway, Node, Skerryd, Tailscaled, TestControl

KINDS: dict[str, type[Node]] = {OURS: Skerryd, THEIRS: Tailscaled}
Key = Callable[[], str | None]


def join(lab: Lab, kind: type[Node], name: str, url: str, key: Key, udp: bool = True) -> Node:
    """A node on a public host of its own."""
    host = lab.public(name)
    if not udp:
        host.block_udp()
    node = kind(host, name)
    node.start()
    node.up(url, key())  # type: ignore[attr-defined]
    return node


def make_pair(lab: Lab, kinds: tuple[type[Node], type[Node]], name: str, url: str, key: Key, udp: bool = True) -> Pair:
    """Both ends, on the path that they settle on."""
    return Pair(join(lab, kinds[0], f"{name}1", url, key, udp), join(lab, kinds[1], f"{name}2", url, key, udp))


@contextmanager
def direct_pairs(mixed: bool = False) -> Iterator[tuple[Lab, dict[str, Pair]]]:
    """One pair of each kind; with `mixed` also ours with the official client at the other end, either way."""
    with lab_with_logs() as lab:
        gateway = Gateway(lab.public("gateway"), "gw")
        gateway.start()
        wanted = {name: (kind, kind) for name, kind in KINDS.items()}
        if mixed:
            wanted |= {"mixed": (Skerryd, Tailscaled)}
        yield lab, {name: make_pair(lab, kinds, name[:4], gateway.url, gateway.key) for name, kinds in wanted.items()}


ONLY = """
table inet only {{
  chain f {{ type filter hook output priority -10; policy accept; oifname wan ip daddr != {address} meta l4proto udp drop; }}
  chain g {{ type filter hook output priority -10; policy accept; oifname wan meta nfproto ipv6 meta l4proto udp drop; }}
}}
"""


@contextmanager
def udp_relayed_pairs() -> Iterator[dict[str, Pair]]:
    """UDP to the gateway alone: ours through its UDP relay, theirs through it as well ("official"); and theirs through derper, no UDP."""
    with lab_with_logs() as lab:
        gateway = Gateway(lab.public("gateway"), "gw")
        gateway.start()
        derper = Derper(lab.public("derper"), "derper")
        derper.start()
        control = TestControl(lab.public("control"), "control", derper.derp_map())
        control.start()
        found = {THEIRS: make_pair(lab, (Tailscaled, Tailscaled), "thei", control.url, lambda: None, udp=False)}
        for name, kind in ((OURS, Skerryd), ("official", Tailscaled)):
            ends = [join(lab, kind, f"{name[:4]}{number}", gateway.url, gateway.key) for number in (1, 2)]
            for end in ends:
                end.host.nft(ONLY.format(address=gateway.host.address))
            found[name] = Pair(*ends)
            until(f"{name} goes through the UDP relay", lambda: _through(found[name], gateway), 120, 0.5)  # noqa: B023
        yield found


def _through(pair: Pair, gateway: Gateway) -> bool:
    pair.one.host.run("ping", "-c1", "-W1", pair.address, check=False)
    pairs = ((pair.one, pair.other), (pair.other, pair.one))
    shown = [(one.peer(other.name) or {}).get("PeerRelay", "") for one, other in pairs]
    return all(text.startswith(f"{gateway.host.address}:3478:vni:") for text in shown)


@contextmanager
def relayed_pairs() -> Iterator[dict[str, Pair]]:
    """No UDP: ours through our relay, theirs through derper, and theirs through our relay ("replaced")."""
    with lab_with_logs() as lab:
        gateway = Gateway(lab.public("gateway"), "gw")
        gateway.start()
        derper = Derper(lab.public("derper"), "derper")
        derper.start()
        control = TestControl(lab.public("control"), "control", derper.derp_map())
        control.start()
        yield {
            OURS: make_pair(lab, (Skerryd, Skerryd), "ours", gateway.url, gateway.key, udp=False),
            THEIRS: make_pair(lab, (Tailscaled, Tailscaled), "thei", control.url, lambda: None, udp=False),
            "replaced": make_pair(lab, (Tailscaled, Tailscaled), "repl", gateway.url, gateway.key, udp=False),
        }


def in_turn(names: list[str], number: int) -> list[str]:
    """Who begins changes from round to round."""
    start = number % len(names)
    return names[start:] + names[:start]
