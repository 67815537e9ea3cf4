"""Two nodes of one network and what goes between them: flows of iperf3, echoes, and what both daemons spend on it."""

import json
import os
import re
import statistics
import time
from pathlib import Path
from typing import NamedTuple

from tests.netlab.lab import until
from tests.netlab.programs import Node, Program

HERTZ = os.sysconf("SC_CLK_TCK")


class Flow(NamedTuple):
    """`megabits` a second of TCP payload; `cost`: CPU seconds for each GB, the mean of both daemons."""

    megabits: float
    cost: float


class Pair:
    """`one` sends to `other`, which runs iperf3's server. Both are members and reach each other."""

    def __init__(self, one: Node, other: Node) -> None:
        self.one, self.other = one, other
        self.address = other.address
        self.pids = (daemon_pid(one), daemon_pid(other))
        one.reaches(self.address, 40)
        other.host.start("iperf3", "--server", "--bind", self.address, log=f"{other.name}-iperf3")
        until("iperf3 listens", lambda: f" {self.address}:5201 " in other.host.run("ss", "-Hltn").stdout, 10)

    def flow(self, seconds: float, *options: str) -> Flow:
        """One window of TCP; options as iperf3 has them (--reverse, --parallel 4)."""
        before = [cpu_seconds(pid) for pid in self.pids]
        argv = ["iperf3", "--client", self.address, "--time", f"{seconds:g}", "--json", *options]
        received = json.loads(self.one.host.run(*argv, timeout=seconds + 30).stdout)["end"]["sum_received"]
        spent = [cpu_seconds(pid) - start for pid, start in zip(self.pids, before, strict=True)]
        return Flow(received["bits_per_second"] / 1e6, statistics.mean(spent) / max(received["bytes"] / 1e9, 1e-9))

    def load(self, seconds: float, *options: str) -> "Load":
        """A flow in the background, for what is to be measured beside it."""
        return Load(self, seconds, options)

    def echoes(self, address: str, count: int = 300, interval: float = 0.01) -> list[float]:
        """Round trips in ms."""
        argv = ["ping", "-n", "-i", f"{interval:g}", "-c", str(count), address]
        return [float(found) for found in re.findall(r"time=([\d.]+) ms", self.one.host.run(*argv, check=False, timeout=60).stdout)]


class Load:
    """`with pair.load(...)`: running, and ended at the end of the block."""

    def __init__(self, pair: Pair, seconds: float, options: tuple[str, ...]) -> None:
        self._pair = pair
        self._argv = ["iperf3", "--client", pair.address, "--time", f"{seconds:g}", *options]

    def __enter__(self) -> None:
        self._process = self._pair.one.host.start(*self._argv, log=f"{self._pair.one.name}-load")
        time.sleep(0.7)  # slow start belongs to nobody's latency

    def __exit__(self, *_: object) -> None:
        self._pair.one.host.lab.stop(self._process)
        time.sleep(0.3)  # iperf3's server takes one client at a time


def percentile(values: list[float], part: float) -> float:
    """The value that `part` of all are below or at."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / HERTZ


def switches(pid: int) -> int:
    """Context switches of a process so far, all threads; each is a moment at which it went to sleep or was put off."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += sum(int(found) for found in re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text()))
    return total


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
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pid = int(children[0])
    return pid
