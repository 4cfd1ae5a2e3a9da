"""What a module prints."""

from typing import Any

import jax.numpy as jnp
from tests.unit.linen.sample_modules import KEY, Affine, X

import ramie.linen as nn


class Net(nn.Module):
    width: int = 3

    def setup(self):
        self.first = Affine(self.width)

    def __call__(self, x):
        return self.first(x)


def test_repr_lists_fields_and_children():
    model = Net().bind(Net().init(KEY, X))
    assert repr(Net()) == "Net(\n    # attributes\n    width = 3\n)"
    model(X)
    assert "# children\n    first = Affine(" in repr(model)


def test_repr_has_no_addresses():
    class Held(nn.Module):
        held: Any

    text = repr(Held((nn.relu, [lambda x: x], {"a": object()}, jnp.float32, "at 0x1")))
    assert text.splitlines()[2].strip() == (
        "held = (relu, [<lambda>], {'a': <object object>}, float32, 'at 0x1')"
    )
