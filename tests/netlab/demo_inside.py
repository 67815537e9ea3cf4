"""The inner half of `make run`: builds the network inside namespaces and reports each step as a JSON line on stdout.

    {"step": text}   {"result": text}   {"page": name, "socket": path, "path": path}   {"ready": true}   {"failed": text}
"""

import json
import os
import re
import sys
import threading
import time
from pathlib import Path

from tests.netlab import Host, Lab, LabError
from tests.netlab.lab import until
from tests.netlab.programs import BIN, ROOT, Gateway, Node, Skerryd, Tailscaled


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


def page(host: Host, folder: Path, name: str, address: str, port: int, path: str = "/") -> None:
    """Offer a page of the lab to the outer half."""
    socket = folder / f"{name}.page"
    script = str(ROOT / "tests/netlab/forward.py")
    host.start(str(BIN / "python"), script, "inside", str(socket), address, str(port), log=f"page-{name}")
    until(f"the {name} page's socket", socket.exists, 10)
    tell(page=name, socket=str(socket), path=path)


def first_direct_ping(viewer: Skerryd, camera: Node) -> tuple[float, float]:
    """Ping till the path is direct: (seconds that took, round trip in ms)."""
    start = time.monotonic()

    def direct() -> bool:
        viewer.host.run("ping", "-c1", "-W1", camera.address, check=False)
        peer = next((p for p in viewer.own_status()["peers"] if p["name"] == camera.name), None)
        return bool(peer and peer["path"]["kind"] == "direct")

    until("a direct path", direct, 30, 0.05)
    done = viewer.host.run("ping", "-c1", "-W2", camera.address)
    found = re.search(r"time=([\d.]+) ms", done.stdout)
    return time.monotonic() - start, float(found.group(1)) if found else 0.0


def build(lab: Lab, folder: Path, official: bool) -> None:
    tell(step="starting the gateway (10.99.0.2, SQLite, relay and STUN on board)")
    gateway = Gateway(lab.public("gateway"), "gateway-state")
    gateway.start()
    tell(step="starting two boards, each behind a NAT router of its own")
    camera, viewer = (Skerryd(lab.behind(lab.router(f"nat-{name}"), name), name) for name in ("camera-1", "desk"))
    nodes: list[Skerryd | Tailscaled] = [camera, viewer]
    if official:
        nodes.append(Tailscaled(lab.behind(lab.router("nat-phone"), "phone"), "phone"))
    for node in nodes:
        node.start()
    for node in nodes:
        until(f"{node.name} is ready", node.socket.exists, 15)
        start = time.monotonic()
        node.up(gateway.url, gateway.key())
        tell(result=f"{node.name} joined with a pre-auth key in {time.monotonic() - start:.2f} s, address {node.address}")
    camera_address = camera.address
    took, round_trip = first_direct_ping(viewer, camera)
    tell(result=f"first direct ping desk -> camera-1 after {took:.2f} s: {round_trip} ms, through both NATs")
    python = str(BIN / "python")
    camera.host.start(python, str(ROOT / "tests/netlab/camera.py"), camera_address, "8000", log="camera-page")
    camera.serve()
    tell(step="measuring throughput for 3 s")
    done = viewer.host.run(python, str(ROOT / "tests/netlab/transfer.py"), "rate", camera_address, "9000", "3")
    rate = json.loads(done.stdout)
    tell(result=f"throughput camera-1 -> desk: {rate['bytes'] * 8 / rate['seconds'] / 1e6:.0f} Mbit/s of TCP through the tunnel")
    link = str(gateway.cli("users", "link", "owner")["url"])
    page(viewer.host, folder, "camera", camera_address, 8000)
    page(gateway.host, folder, "console", gateway.host.address, gateway.port, "/" + link.split("/", 3)[3])
    tell(ready=True)


def end_with_the_outer_half() -> None:
    """Standard input closes when the outer half ends, however it ends; this is process 1, so everything in here ends with it."""
    while os.read(0, 1):
        pass
    os._exit(0)


def main() -> int:
    folder = Path(sys.argv[1])
    threading.Thread(target=end_with_the_outer_half, daemon=True).start()
    with Lab(folder) as lab:
        try:
            build(lab, folder, "--tailscale" in sys.argv)
        except LabError as error:
            tell(failed=f"{error}\n{lab.logs()}")
            return 1
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
