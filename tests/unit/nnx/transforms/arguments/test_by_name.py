"""Arguments that a transformation knows by number, given by keyword."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact

from ramie import nnx

X = jnp.ones(2)
MODES = {"graph": {}, "no updates": {"graph_updates": False}, "tree": {"graph": False}}
mode = pytest.mark.parametrize("mode", MODES)


class Scale(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.array(3.0))


def loss(model, x, is_doubled=False):
    return (model.w * x).sum() * (2 if is_doubled else 1)


def call(model, x, is_doubled=False):
    return model.w * x * (2 if is_doubled else 1)


@mode
@pytest.mark.parametrize("transform", [nnx.grad, nnx.value_and_grad])
def test_gradients_by_what_is_given_by_name(mode, transform):
    options = MODES[mode]

    def grads(argnums, *args, **kwargs):
        found = transform(loss, argnums=argnums, **options)(*args, **kwargs)
        return found if transform is nnx.grad else found[1]

    of_model = grads(0, model=Scale(), x=X)
    assert float(of_model.w[...]) == 2.0
    assert_exact(grads(1, Scale(), x=X), 3 * X)
    assert_exact(grads(1, x=X, model=Scale(), is_doubled=True), 6 * X)
    assert_exact(grads(-1, Scale(), x=X), 3 * X)
    first, second = grads((0, 1), x=X, model=Scale())
    assert float(first.w[...]) == 2.0
    assert_exact(second, 3 * X)


@mode
def test_a_default_can_be_differentiated(mode):
    found = nnx.grad(lambda model, x=2.0: model.w * x, argnums=1, **MODES[mode])(Scale())
    assert float(found) == 3.0


def test_gradients_of_parts_by_name():
    of_all = nnx.DiffState(0, ...)
    found = nnx.grad(loss, argnums=of_all)(model=Scale(), x=X)
    assert float(found["w"][...]) == 2.0


def test_too_few_arguments_are_counted():
    with pytest.raises(TypeError, match=r"requires at least 2 positional .* got only 1"):
        nnx.grad(lambda model, **rest: 0.0, argnums=1)(Scale(), x=X)


TRANSFORMS = {
    "jit": lambda numbers, o: nnx.jit(call, static_argnums=numbers, **o),
    "remat": lambda numbers, o: nnx.remat(call, static_argnums=numbers, **o),
}


@mode
@pytest.mark.parametrize("number", [2, -1, (2,)])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_static_argument_is_one_however_it_is_given(name, number, mode):
    f = TRANSFORMS[name](number, MODES[mode])
    for found in (
        f(Scale(), X, True),
        f(Scale(), X, is_doubled=True),
        f(is_doubled=True, x=X, model=Scale()),
    ):
        assert_exact(found, 6 * X)
    assert_exact(f(Scale(), X), 3 * X)


@pytest.mark.parametrize("number", [2, -1])
@pytest.mark.parametrize("options", [MODES["tree"], MODES["no updates"]], ids=str)
def test_programs_have_static_arguments_by_name(number, options):
    f = nnx.make_jaxpr(call, static_argnums=number, **options)
    assert str(f(Scale(), X, is_doubled=True)) == str(f(Scale(), X, True))


@mode
def test_mapped_arguments_by_name(mode):
    options = MODES[mode]
    f = lambda model, x: model.w * x
    mesh = jax.sharding.Mesh(jax.devices()[:1], "data")
    specs = jax.P(), jax.P("data")
    sharded = nnx.shard_map(f, mesh=mesh, in_specs=specs, out_specs=specs[1], **options)
    assert_exact(sharded(Scale(), x=X), 3 * X)
    parallel = nnx.pmap(f, in_axes=(None, 0), devices=jax.devices()[:1], **options)
    assert_exact(parallel(x=X[None, 0], model=Scale()), 3 * X[None, 0])
    assert_exact(nnx.vmap(f, in_axes=(None, 0), **options)(Scale(), x=X), 3 * X)
