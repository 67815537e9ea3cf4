"""Put nodes into the store of a gateway that does not run: `python -m tests.bench.populate STATE COUNT`.

They belong to the owner and were seen at addresses of a documentation range. Their node keys are those of private_key(number).
"""

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from skerry_gateway.store import StateDir, Store, queries
from skerry_shim import crypto


def private_key(number: int) -> bytes:
    """Of the node with that number, for whoever plays it."""
    return hashlib.sha256(f"bench {number}".encode()).digest()


def populate(state: Path, count: int) -> None:
    now, seen = time.time_ns() // 1_000_000, {}
    directory = StateDir(state)
    store = Store.open(directory.database)
    with store.write() as connection:
        network = queries.network(connection)
        assert network is not None, "the gateway has never run"
        owner = queries.users(connection, network.id)[0]
        for number in range(count):
            secrets = {"machine_key": os.urandom(32), "node_key": private_key(number)}
            keys = {name: crypto.x25519_public(secret) for name, secret in secrets.items()}
            name = f"board-{number}"
            values: dict[str, Any] = {"stable_id": f"nBench{number}", "name": name, "hostname": name, "os": "linux", "version": 142}
            values |= {"tags": [], "routes_advertised": [], "routes_approved": [], "approved": True, "ephemeral": False, "renamed": False}
            node = queries.create_node(connection, network_id=network.id, user_id=owner.id, created_ms=now, **values, **keys)
            place = [f"198.51.100.{number % 254 + 1}:{1024 + number}"]
            seen[str(node.id)] = {"disco": os.urandom(32).hex(), "endpoints": place, "home": 900, "hostinfo": {"OS": "linux"}}
    store.close()
    directory.remember(seen)


if __name__ == "__main__":
    populate(Path(sys.argv[1]), int(sys.argv[2]))
