"""The fixture of the conformance tests: each runs on the Python transport and on the one in C."""

import pytest

from tests.shim.facing import Bytes, Clock, c_transport, python_transport


@pytest.fixture(params=[python_transport, c_transport], ids=["python", "c"])
def make(request):
    clock, made = Clock(), []

    def build():
        transport = request.param(Bytes(len(made)), clock)
        made.append(transport)
        return transport

    build.clock = clock
    yield build
    for transport in made:
        if hasattr(transport, "close"):
            transport.close()
