"""Thousands of tests in one process leave it memory to map."""

import jax
import jax.numpy as jnp
import pytest
from tests import mappings


@pytest.mark.skipif(not mappings.count(), reason="only Linux tells how many maps there are")
def test_programs_that_are_dropped_leave_their_memory_maps():
    programs = [jax.jit(lambda x, n=n: jnp.sin(x) + n) for n in range(40)]
    for program in programs:
        program(jnp.ones(3))
    before = mappings.count()

    mappings.drop_programs(above=before)
    assert mappings.count() >= before  # so many are allowed

    mappings.drop_programs(above=0)
    assert mappings.count() <= before - len(programs)
    assert programs[2](0.0) == 2.0
