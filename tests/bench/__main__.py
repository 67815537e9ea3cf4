"""`make bench`: run every measure and print a table; enters its own namespaces."""

import os
import platform
import statistics
import sys

from tests.netlab import enter, inside


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def machine() -> str:
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"


def row(name: str, ours: list[float], theirs: list[float], goal: str) -> None:
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"{name:<50} {ratio:>6.2f}x  {spread(ours):>18}  {spread(theirs):>18}  {goal}", flush=True)


def main() -> int:
    from tests.bench import join_time, memory

    print(f"machine: {machine()}; medians (min-max)")
    print(f"{'measure':<50} {'ratio':>7}  {'skerryd':>18}  {'tailscaled':>18}  goal")
    for measured in join_time.measure():
        row(measured.name, measured.seconds["skerryd"], measured.seconds["tailscaled"], measured.goal)
    resident = memory.measure()
    row("resident memory, idle, one peer, MB", [resident["skerryd"]], [resident["tailscaled"]], "<= 25 MB")
    return 0


if __name__ == "__main__":
    if not inside():
        reason = enter.why_not()
        if reason:
            sys.exit(f"make bench: {reason}")
        os.environ[enter.MARK] = "1"
        command = enter.enter([sys.executable, "-m", "tests.bench"])
        os.execvp(command[0], command)
    sys.exit(main())
