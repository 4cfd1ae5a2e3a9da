"""stack_layers and unstack_layers of states, of optimizers too."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
import pytest
from tests.tolerance import assert_exact

from ramie import nnx
from ramie.core.tracing.trace import has_boxes

BLOCK = partial(nnx.Linear, 4, 4)


def pure(tree):
    return nnx.to_pure_dict(nnx.state(tree))


def test_states_of_optimizers():
    x = jnp.ones((2, 4))
    towers = [nnx.Repeat(BLOCK, 11, rngs=nnx.Rngs(0), scan=scan) for scan in (False, True)]
    optimizers = [nnx.Optimizer(tower, optax.adam(1e-2), wrt=nnx.Param) for tower in towers]
    grads = nnx.grad(lambda tower: (tower(x) ** 2).sum())(towers[0])
    optimizers[0].update(towers[0], grads)
    stacked = nnx.stack_layers(nnx.state(optimizers[0]))
    wanted = nnx.state(optimizers[1])
    assert jax.tree.structure(nnx.to_pure_dict(stacked)) == jax.tree.structure(
        nnx.to_pure_dict(wanted)
    )
    nnx.update(optimizers[1], stacked)
    mu = pure(optimizers[1])["opt_state"][0]["mu"]["layers"]["kernel"]
    assert_exact(mu[10], pure(optimizers[0])["opt_state"][0]["mu"]["layers"][10]["kernel"])
    back = nnx.unstack_layers(nnx.state(optimizers[1]))
    jax.tree.map(assert_exact, nnx.to_pure_dict(back), pure(optimizers[0]))


def test_numbers_and_names_of_layers_in_pure_dictionaries():
    layers = {"decoder": {"layers": {i: {"w": jnp.full(2, i)} for i in range(3)}}}
    stacked = nnx.stack_layers(layers, "decoder/layers")
    assert_exact(stacked["decoder"]["layers"]["w"][:, 0], jnp.arange(3))
    assert list(nnx.unstack_layers(stacked)["decoder"]["layers"]) == [0, 1, 2]
    named = {f"layers_{i}": jnp.full(2, i) for i in range(3)}
    assert list(nnx.unstack_layers(nnx.stack_layers(named))["layers"]) == [0, 1, 2]


def test_the_state_that_was_given_stays_as_it_is():
    tower = nnx.Repeat(BLOCK, 3, rngs=nnx.Rngs(0), scan=True)
    before = nnx.state(tower)
    flat = nnx.unstack_layers(before)
    flat.layers[0].kernel.set_value(jnp.zeros((4, 4)))
    assert before.layers.kernel.shape == (3, 4, 4) and bool(before.layers.kernel[...].any())


def test_what_cannot_be_stacked_is_refused_by_its_path():
    with pytest.raises(ValueError, match="layers/1 is missing"):
        nnx.stack_layers({"layers": {0: jnp.ones(1), 2: jnp.ones(1)}})
    with pytest.raises(ValueError, match="differ in structure or in metadata"):
        nnx.stack_layers({"layers": {0: nnx.Param(jnp.ones(1)), 1: nnx.Variable(jnp.ones(1))}})
    with pytest.raises(ValueError, match="nothing to unstack"):
        nnx.unstack_layers({"layers": {0: jnp.ones(1)}})


def test_references_are_stacked_into_references_and_boxes_are_refused() -> None:
    block = partial(nnx.Linear, 4, 4)
    with nnx.var_defaults(ref=True):
        tower = nnx.Repeat(block, 3, rngs=nnx.Rngs(0))
        scanned = nnx.Repeat(block, 3, rngs=nnx.Rngs(1), scan=True)
    state = nnx.stack_layers(nnx.state(tower))
    assert isinstance(jax.tree.leaves(state)[0], jax.Ref)
    nnx.update(scanned, state)
    for i, layer in enumerate(tower.layers):
        assert_exact(scanned.layers.kernel[...][i], layer.kernel[...])
    apart = nnx.unstack_layers(nnx.state(scanned))
    assert isinstance(jax.tree.leaves(apart)[0], jax.Ref)
    assert_exact(apart.layers[2].kernel[...], tower.layers[2].kernel[...])
    apart.layers[2].kernel[...] = jnp.zeros((4, 4))  # a reference of its own
    assert scanned.layers.kernel[...][2].any() and tower.layers[2].kernel[...].any()
    if has_boxes():
        boxed = nnx.state(nnx.with_vars(tower, hijax=True, ref=False))
        with pytest.raises(ValueError, match=r"layers/0 are in boxes"):
            nnx.stack_layers(boxed)
