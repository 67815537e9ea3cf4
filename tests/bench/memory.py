"""Resident memory (VmRSS): idle with one peer, after a load and a rest, with a thousand peers known; and how often an idle node wakes."""

import subprocess
import sys
import time
from collections.abc import Callable

from tests.bench import Measured
from tests.bench.network import KINDS, direct_pairs
from tests.bench.pair import cpu_seconds, daemon_pid, resident_mb, switches
from tests.netlab.lab import lab_with_logs, until
from tests.netlab.programs import Gateway, Node

LIMIT_MB = 25
PEERS = 1000
REST_S = 10


def measure(settle_s: float, say: Callable[[str], None]) -> list[Measured]:
    return [*idle_and_loaded(settle_s, say), many_peers(say)]


def idle_and_loaded(settle_s: float, say: Callable[[str], None]) -> list[Measured]:
    """`settle_s` seconds of idling, during which wake-ups and CPU time are counted, then a load of all shapes, then a rest."""
    resident = Measured("resident memory, idle, one peer, MB", "MB", f"<= {LIMIT_MB} MB", limit=LIMIT_MB, digits=1)
    grown = Measured("resident memory, added by a load, MB", "MB", "<= 4 MB", limit=4, digits=1)
    wakes = Measured("idle, context switches a second, all threads", "1/s", "< 5/s", limit=5)
    cpu = Measured("idle, CPU s in 600 s", "s", "< 0.5 s", limit=0.5)
    with direct_pairs() as (_lab, pairs):
        for _ in range(2):  # what the first echo set off has ended after the first of both
            before = {name: (switches(pair.pids[0]), cpu_seconds(pair.pids[0])) for name, pair in pairs.items()}
            say(f"memory: idle for {settle_s:g} s")
            time.sleep(settle_s)  # idle is a state that takes its time
        for name, pair in pairs.items():
            pid = pair.pids[0]
            wakes.values[name].append((switches(pid) - before[name][0]) / settle_s)
            cpu.values[name].append((cpu_seconds(pid) - before[name][1]) * 600 / settle_s)
            resident.values[name].append(resident_mb(pid))
            for options in ((), ("--reverse",), ("--parallel", "4")):
                pair.flow(3, *options)
        say(f"memory: rest for {REST_S} s")
        time.sleep(REST_S)
        for name, pair in pairs.items():
            grown.values[name].append(resident_mb(pair.pids[0]) - resident.values[name][0])
    return [resident, grown, wakes, cpu]


def many_peers(say: Callable[[str], None]) -> Measured:
    """What PEERS nodes of one user cost a node that knows them all, over one that knows one."""
    grown = Measured(f"resident memory, added by {PEERS} peers, MB", "MB", "<= 5 MB", limit=5, digits=1)
    for name, kind in KINDS.items():
        few, many = resident_with(kind, 1), resident_with(kind, PEERS)
        grown.values[name].append(many - few)
        say(f"memory: {name} {few:.1f} MB with one peer, {many:.1f} MB with {PEERS}")
    return grown


def resident_with(kind: type[Node], peers: int) -> float:
    with lab_with_logs() as lab:
        gateway = Gateway(lab.public("gateway"), "gw")
        gateway.start()
        key = gateway.key()
        gateway.stop()
        subprocess.run([sys.executable, "-m", "tests.bench.populate", str(gateway.state), str(peers)], check=True)
        gateway.start()
        node = kind(lab.public("node"), "node")
        node.start()
        node.up(gateway.url, key)  # type: ignore[attr-defined]
        known = [each["DNSName"].split(".")[0] for each in (node.status().get("Peer") or {}).values()]
        if len([name for name in known if name != "udp-relay"]) != peers:  # the gateway's own is not shown by ours
            raise RuntimeError(f"{node.name} does not know {peers} peers")
        node.restart()  # nobody asks for its status from here on, as in the field
        until("the node is back", lambda: [each for each in gateway.nodes() if each["name"] == "node" and each["online"]], 30)
        time.sleep(REST_S)
        return resident_mb(daemon_pid(node))
