"""What an idle agent must not load: each of these is a third to half a megabyte of the 25 it may have."""

import subprocess
import sys

import pytest

from skerry_node.tls import Refused, Tls

HEAVY = ("argparse", "asyncio", "dataclasses", "encodings.idna", "hashlib", "inspect", "logging", "platform", "typing", "zstandard")
SCRIPT = """
import sys
from skerry_node import daemon, door, node, tls, zstd
from skerry_node.localapi import routes
from skerry_node.recorder import recorder
from skerry_core import engine
tls.load()
tls.Tls("gateway.example", False)
library = zstd.load()
assert zstd.decompress(library.ZstdCompressor().compress(bytes(100_000)), 100_000) == bytes(100_000)
print(*sorted(set(sys.modules) & set(sys.argv[1:])))
"""


def test_an_agent_with_its_first_connection_and_map_has_loaded_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", SCRIPT, *HEAVY], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", ["gateway.example", "gateway.example.", "a" * 63 + ".example", "203.0.113.1", "2001:db8::1", ""])
def test_names_that_tls_takes(name):
    assert Tls(name, False).outgoing()


@pytest.mark.parametrize("name", ["a" * 64 + ".example", ".example", "a..example", "büro.example"])
def test_names_that_no_tls_server_has_are_refused(name):
    with pytest.raises(Refused, match="cannot be used as a TLS server name"):
        Tls(name, False)
