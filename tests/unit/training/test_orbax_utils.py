"""What the Orbax arguments need no Orbax for; the rest is compared with Flax, which brings it."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ramie import errors
from ramie.training import orbax_utils


def on_all_devices(*spec):
    mesh = Mesh(np.array(jax.local_devices()), ("x",))
    return jax.device_put(jnp.arange(8.0), NamedSharding(mesh, PartitionSpec(*spec)))


def test_is_multi_device_array():
    if jax.local_device_count() == 1:
        pytest.skip("needs several devices")
    assert orbax_utils.is_multi_device_array(on_all_devices("x"))
    for value in (on_all_devices(), jnp.ones(2), np.ones(2), 3, "text"):
        assert not orbax_utils.is_multi_device_array(value)


def test_missing_orbax_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    for call in (orbax_utils.save_args_from_target, orbax_utils.restore_args_from_target):
        with pytest.raises(errors.MissingExtraError, match=r"pip install 'ramie\[orbax\]'"):
            call({"a": jnp.ones(2)})


def test_own_transforms_are_passed_through():
    assert orbax_utils.maybe_construct_transformations({"a": None}, {"a": 1}) == {"a": 1}
