"""Fixtures: a fresh lab for every test, a gateway in it, and the pairs behind NATs that most tests want."""

from collections.abc import Iterator

import pytest

from tests.netlab import Lab, inside
from tests.netlab.lab import lab_with_logs
from tests.netlab.programs import Gateway


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not inside():
        pytest.exit("these tests need namespaces of their own: python -m tests.netlab .venv/bin/pytest tests/interop", 2)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with lab_with_logs() as made:
        yield made


@pytest.fixture
def gateway(lab: Lab) -> Gateway:
    made = Gateway(lab.public("gateway"), "gw")
    made.start()
    return made
