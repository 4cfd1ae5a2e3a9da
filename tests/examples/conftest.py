"""The process that runs pages, one for all tests."""

import pytest
from tests.examples import fences


@pytest.fixture(scope="session")
def server():
    server = fences.PageServer()
    yield server
    server.close()
