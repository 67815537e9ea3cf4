"""Resident memory (VmRSS) of an idle node with one peer, a minute after the first reply."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import Measured
from tests.netlab.lab import lab_with_logs, run
from tests.netlab.programs import Gateway, Program, Skerryd, Tailscaled

LIMIT_MB = 25


def resident_mb(pid: int) -> float:
    """VmRSS of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no VmRSS")


def daemon_pid(program: Program) -> int:
    """The daemon itself: `Host.command` execs through, so the process started is it, or its only descendant is."""
    assert program.process is not None
    pid = program.process.pid
    while children := run("ps", "-o", "pid=", "--ppid", str(pid)).split() if _has_child(pid) else []:
        pid = int(children[0])
    return pid


def _has_child(pid: int) -> bool:
    return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text().strip())


def measure(settle_s: float, say: Callable[[str], None]) -> list[Measured]:
    """MB of each daemon in one network of two, `settle_s` seconds after the first reply."""
    resident = Measured("resident memory, idle, one peer, MB", "MB", f"<= {LIMIT_MB} MB", limit=LIMIT_MB, digits=1)
    with lab_with_logs() as lab:
        gateway = Gateway(lab.public("gateway"), "gw")
        gateway.start()
        nodes = [kind(lab.behind(lab.router(f"r{name}"), name), name) for kind, name in ((Skerryd, "ours"), (Tailscaled, "theirs"))]
        for node in nodes:
            node.start()
            node.up(gateway.url, gateway.key())
        nodes[0].reaches(nodes[1].address)
        say(f"memory: both are connected; idle for {settle_s:g} s")
        time.sleep(settle_s)  # idle is a state that takes its time
        for kind, node in zip(("skerryd", "tailscaled"), nodes, strict=True):
            resident.values[kind].append(resident_mb(daemon_pid(node)))
    return [resident]
