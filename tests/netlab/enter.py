"""Enter fresh namespaces, then run a command there: root or, where the kernel allows user namespaces, anybody.

The command is process 1 of its process namespace: when it ends, or when we are killed, the kernel ends everything it started, and
with the last process go the network namespaces, interfaces, rules and mounts.
"""

import os
import shutil
import subprocess
import sys

MARK = "SKERRY_NETLAB"
NEEDED = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "nft": "nftables", "mount": "mount"}


def missing() -> list[str]:
    """Debian packages that lack here."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return sorted({package for tool, package in NEEDED.items() if shutil.which(tool, path=path) is None})


def why_not() -> str | None:
    """The sentence that says why namespaces cannot be entered here and what to do, or None."""
    lacking = missing()
    if lacking:
        return f"these Debian packages are missing: {' '.join(lacking)}; install them with: sudo apt-get install {' '.join(lacking)}"
    if not os.path.exists("/dev/net/tun"):
        return "/dev/net/tun is missing: load the module with: sudo modprobe tun (in a container: add the device /dev/net/tun)"
    probe = subprocess.run([*unshare(), "true"], capture_output=True, text=True)
    if probe.returncode and os.geteuid() == 0:
        return f"root may not make namespaces here ({probe.stderr.strip()}); in a container, allow it CAP_SYS_ADMIN and CAP_NET_ADMIN"
    if probe.returncode:
        return (
            f"user namespaces are not allowed here ({probe.stderr.strip()}); run the same command with sudo, or allow them with: "
            "sudo sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0"
        )
    return None


def unshare() -> list[str]:
    """The unshare command with its options for this user."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "--net", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]


def enter(command: list[str]) -> list[str]:
    """The command that runs `command` inside; LabError's reason is left to why_not()."""
    setup = "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && exec \"$@\""
    return [*unshare(), "sh", "-c", setup, "sh", *command]


def main() -> int:
    reason = why_not()
    if reason:
        print(f"netlab: {reason}", file=sys.stderr)
        return 3
    os.environ[MARK] = "1"
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    command = enter(sys.argv[1:])
    sys.stdout.flush()
    os.execvp(command[0], command)  # does not return
    return 1
