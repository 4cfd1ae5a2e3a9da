"""Branches and loops inside of modules."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_close, assert_exact
from tests.unit.linen.transforms.scaled_modules import KEY, X

from ramie import errors
from ramie import linen as nn


class Chosen(nn.Module):
    """One of two layers, both with parameters."""

    @nn.compact
    def __call__(self, x, pred):
        layers = [nn.Dense(3, name=name) for name in ("a", "b")]
        if self.is_initializing():
            for layer in layers:
                layer(x)
        first, second = lambda m, x, of: of[0](x), lambda m, x, of: of[1](x)
        return nn.cond(pred, first, second, self, x, layers)


@pytest.mark.parametrize("pred", [True, False])
def test_cond_chooses_between_modules(pred):
    variables = Chosen().init(KEY, X, pred)
    dense = {"params": variables["params"]["a" if pred else "b"]}
    assert_close(Chosen().apply(variables, X, pred), nn.Dense(3).apply(dense, X))


def test_switch_with_bound_methods():
    class Model(nn.Module):
        def setup(self):
            self.dense = nn.Dense(3)

        def plus(self, x):
            return self.dense(x)

        def minus(self, x):
            return -self.dense(x)

        def __call__(self, x, index):
            if self.is_initializing():
                return self.plus(x)
            return nn.switch(index, [self.plus, self.minus], self, x)

    variables = Model().init(KEY, X, 0)
    assert_exact(Model().apply(variables, X, 0), -Model().apply(variables, X, 1))


def test_while_loop_draws_random_numbers():
    class Model(nn.Module):
        def __call__(self):
            def step(module, carry):
                number, seen = carry
                return number + 1, seen.at[number].set(jax.random.uniform(module.make_rng("noise")))

            return nn.while_loop(
                lambda module, carry: carry[0] < 3,
                step,
                self,
                (0, jnp.zeros(3)),
                split_rngs={"noise": True},
            )

    _, seen = Model().apply({}, rngs={"noise": KEY})
    assert len(set(seen.tolist())) == 3


def test_a_loop_that_would_create_parameters_says_where_to_make_them():
    class Loop(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer = nn.Dense(3)
            return nn.while_loop(lambda layer, x: False, lambda layer, x: layer(x), layer, x)

    with pytest.raises(errors.ScopeCollectionNotFound, match="make them all before the loop"):
        Loop().init(KEY, X)


def test_a_branch_that_alone_creates_parameters_says_where_to_make_them():
    class Either(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer = nn.Dense(3)
            return nn.cond(True, lambda layer, x: layer(x), lambda layer, x: x, layer, x)

    with pytest.raises(TypeError, match="branch") as raised:
        Either().init(KEY, X)
    assert any("same variables" in note for note in raised.value.__notes__)
