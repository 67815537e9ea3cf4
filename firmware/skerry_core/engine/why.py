"""Sentences for people: how a peer is reached now, what was tried and what came of it. They state what was seen and guess nothing."""

from skerry_core import nat
from skerry_core import path as paths
from skerry_core.engine import binding, peerrelay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Candidate, Peer


def why(engine: "Engine", peer: "Peer") -> "list[str]":
    """Current path first, then the two NATs, each candidate, the UDP relays, the relay, the session, our own side, and what would help."""
    verdict = judge(engine, peer)
    sentences = [_current(engine, peer), verdict["reason"]]
    for where in sorted(peer.candidates, key=paths.text):
        sentences.append(_candidate(engine, peer, peer.candidates[where]))
    if not peer.candidates:
        sentences.append(f"{peer.name()} has told no addresses that can be tried from here.")
    sentences.extend(_peer_relays(engine, peer))
    sentences.extend(_relay(engine, peer))
    sentences.append(_session(engine, peer))
    sentences.extend(ourselves(engine))
    return sentences + [f"What would help: {each}" for each in verdict["help"]]


def explain(engine: "Engine", peer: "Peer") -> "dict[str, Any]":
    """The same for programs; `lines` are the sentences of why()."""
    used, relay, verdict = peer.best, engine.paths.relay(peer), judge(engine, peer)
    kind = ("udp-relay" if used.path[4] else "direct") if used is not None else "relay" if relay is not None else "none"
    address = paths.text(used.path) if used is not None else engine.relays.text(relay[0]) if relay is not None else ""
    latency = None if used is None else used.latency
    return {
        "path": {"kind": kind, "address": address, "latency_ms": latency, "trusted": engine.paths.trusted(peer)},
        "tried": [_tried(engine, peer, peer.candidates[where]) for where in sorted(peer.candidates, key=paths.text)],
        "nat": {"self": engine.netcheck.nat.nat.document(), "peer": nat_of(peer).document()},
        "direct_possible": verdict["possible"],
        "fault": verdict["fault"],
        "reason": verdict["reason"],
        "help": verdict["help"],
        "lines": why(engine, peer),
    }


def nat_of(peer: "Peer") -> nat.Nat:
    """What the peer told the gateway of its NAT."""
    return nat.of_netinfo(None if peer.node is None else peer.node.hostinfo.get("NetInfo"))


def judge(engine: "Engine", peer: "Peer") -> "dict[str, Any]":
    """What skerry_core.nat says of the pair, against what is: a path that works needs no excuse."""
    ours, theirs = engine.netcheck.nat.nat, nat_of(peer)
    verdict = nat.pair(ours, theirs, ("this node", peer.name()))
    if peer.best is not None and not peer.best.path[4] and engine.paths.trusted(peer):
        words = f"this node: {nat.text(ours)}, {peer.name()}: {nat.text(theirs)}"
        verdict.update({"possible": True, "fault": [], "help": [], "reason": f"Nothing is wrong with the path ({words})."})
        return verdict
    if verdict["possible"] and (peer.candidates and all(each.misses > 2 for each in peer.candidates.values())):
        verdict["reason"] += " Yet none of its addresses answers: a firewall, here or there, may drop UDP between the two."
    return verdict


def _tried(engine: "Engine", peer: "Peer", candidate: "Candidate") -> "dict[str, Any]":
    asked, answered = candidate.pinged is not None, candidate.ponged is not None and candidate.misses == 0
    without = "silent" if candidate.misses else "asked" if asked else "untried"
    outcome = "in-use" if candidate is peer.best else "answered" if answered else without
    found: dict[str, Any] = {"address": paths.text(candidate.path), "outcome": outcome, "unanswered": candidate.misses}
    found.update({"latency_ms": candidate.latency if answered else None, "text": _candidate(engine, peer, candidate)})
    return found


def _ago(engine: "Engine", at: "int | None") -> str:
    seconds = 0 if at is None else (engine.now - at) // 1000
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"


def _current(engine: "Engine", peer: "Peer") -> str:
    relay = engine.paths.relay(peer)
    if peer.best is not None:
        where = peer.best.path
        way = f"through {engine.peer_relays.text(peer, where)}" if where[4] else f"directly at {paths.text(where)}"
        text = f"{peer.name()} is reached {way}, {peer.best.latency} ms"
        if engine.paths.trusted(peer):
            return text + "."
        return text + f"; it answered last {_ago(engine, peer.best.ponged)}" + (", so the relay is used as well." if relay else ".")
    if relay is not None:
        return f"{peer.name()} is reached through {engine.relays.text(relay[0])}; there is no direct path."
    return f"There is no way to {peer.name()}: no direct path, and no relay that both know."


def _candidate(engine: "Engine", peer: "Peer", candidate: "Candidate") -> str:
    origin = "heard from" if candidate.sources == 4 else "told by the peer" if candidate.sources & 2 else "from the map"
    if candidate.path[4]:
        origin = engine.peer_relays.text(peer, candidate.path)
    text = f"{paths.text(candidate.path)} ({origin}): "
    if candidate.ponged is not None and candidate.misses == 0:
        chosen = "in use" if candidate is peer.best else "not better than the one in use" if peer.best is not None else "not in use"
        return text + f"answered {_ago(engine, candidate.ponged)} in {candidate.latency} ms, {chosen}."
    if candidate.misses:
        before = "" if candidate.ponged is None else f"; it did {_ago(engine, candidate.ponged)}"
        return text + f"did not answer {candidate.misses} time{'s' if candidate.misses > 1 else ''}{before}."
    if candidate.pinged is not None:
        return text + f"asked {_ago(engine, candidate.pinged)}, no answer yet."
    return text + "not asked yet."


def _peer_relays(engine: "Engine", peer: "Peer") -> "list[str]":
    relays = [relay for relay in engine.peer_relays.relays() if relay is not peer]
    if not engine.peer_relays.enabled():
        return ["The gateway has turned UDP relays off for this node."]
    if not peerrelay.capable(peer):
        return [f"{peer.name()} cannot use UDP relays: its version is {0 if peer.node is None else peer.node.cap}, need 121 or more."]
    sentences = [] if relays else ["No UDP relay is offered to this node."]
    for relay in relays[: peerrelay.RELAYS]:
        ask = engine.peer_relays.ask_of(peer, relay)
        what = "not asked, as nothing called for it" if ask is None else f"it {ask.outcome}, asked {_ago(engine, ask.sent)}"
        sentences.append(f"UDP relay {relay.name()} is offered to this node: {what}.")
    return sentences + [_place(engine, peer, place) for place in engine.bindings.of(peer)]


_STAGES = {
    binding.BINDING: "none of its addresses has answered yet",
    binding.ANSWERED: "it answered, the peer has not yet",
    binding.BOUND: "bound",
    binding.FAILED: "binding to it failed; UDP to it may be blocked, here or there",
}


def _place(engine: "Engine", peer: "Peer", place: "binding.Place") -> str:
    address, port = place.offer.endpoints[0]
    where = place.path or (0, 0, address, port, place.offer.vni)  # perhaps no possible one
    name = engine.peer_relays.text(peer, where) + ("" if place.relay else ", of which the peer told")
    return f"Place {place.offer.vni} on {name}: {_STAGES[place.stage]} ({_ago(engine, place.since)})."


def _relay(engine: "Engine", peer: "Peer") -> "list[str]":
    relay = engine.paths.relay(peer)
    if relay is None:
        return [f"{peer.name()} has no home relay that is in the map."]
    link = engine.relays.link(relay[0])
    if link is None:
        return []
    name = engine.relays.text(relay[0])
    if link.error:
        return [f"{name} is not reachable from here: {link.error}."]
    if peer.gone_region == relay[0]:
        return [f"{name} said that {peer.name()} is not connected to it."]
    return [f"{name} is {'connected' if link.stage == 'up' else 'being connected' if link.stage != 'closed' else 'connected on demand'}."]


def _session(engine: "Engine", peer: "Peer") -> str:
    if peer.handshake_since is not None:
        return f"A handshake has been under way for {(engine.now - peer.handshake_since) // 1000} s without an answer."
    if peer.current is not None:
        return f"The session keys were agreed {_ago(engine, peer.current.created)}."
    return "There is no session; the next packet starts one."


def ourselves(engine: "Engine") -> "list[str]":
    """What is special about our own network."""
    sentences = []
    if engine.netcheck.varies:
        sentences.append("Our router maps each destination to another port (a hard NAT); direct paths need the other side to be easy.")
    report = engine.netcheck.report()
    if report["regions"] and not report["udp"]:
        sentences.append("No STUN server answers us: UDP may be blocked here.")
    return sentences
