"""Thousands of tests in one process leave it memory to map."""

import subprocess
import sys

import pytest
from tests import mappings
from tests.examples import fences

PROGRAM = """
import jax, jax.numpy as jnp
from tests import mappings

programs = [jax.jit(lambda x, n=n: jnp.sin(x) + n) for n in range(40)]
for program in programs:
    program(jnp.ones(3))
before = mappings.count()
mappings.drop_programs(above=before)
assert mappings.count() >= before  # so many are allowed
mappings.drop_programs(above=0)
assert mappings.count() <= before - len(programs), (before, mappings.count())
assert programs[2](0.0) == 2.0
"""


@pytest.mark.skipif(not mappings.count(), reason="only Linux tells how many maps there are")
def test_programs_that_are_dropped_leave_their_memory_maps():
    """In a process of its own, because the programs of all tests before it would be dropped."""
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=fences.ROOT, check=True, timeout=120)


def test_looks_are_taken_now_and_then(monkeypatch):
    looks = []
    monkeypatch.setattr(mappings, "drop_programs", lambda: looks.append(1))
    for _ in range(160):
        mappings.look_now_and_then()
    assert len(looks) == 10
