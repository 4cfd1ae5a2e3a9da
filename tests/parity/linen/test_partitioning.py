"""Names of axes in collections of their own: the variables, values and specs of Flax."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact

import ramie.linen
import ramie.linen.partitioning

flax_linen = pytest.importorskip("flax.linen")
flax_partitioning = pytest.importorskip("flax.linen.partitioning")

KEY = jax.random.key(0)
X = jnp.ones((3, 2))


def models(nn, partitioning):
    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x):
            init = nn.initializers.normal()
            w = partitioning.param_with_axes("w", init, (2, 2), axes=("in", None))
            seen = partitioning.variable_with_axes("stats", "seen", lambda: x, axes=("in",))
            return x @ w + seen.value, None

    class Scanned(nn.Module):
        options: dict

        @nn.compact
        def __call__(self, x):
            layers = partitioning.scan_with_axes(
                Layer, split_rngs={"params": True}, in_axes=(), length=3, **self.options
            )()
            x, _ = layers(x)
            return layers(x)[0]

    class Mapped(nn.Module):
        options: dict

        @nn.compact
        def __call__(self, x):
            return partitioning.vmap_with_axes(
                Layer, split_rngs={"params": True}, **self.options
            )()(x)[0]

    class Rematted(nn.Module):
        @nn.compact
        def __call__(self, x):
            return partitioning.remat(Layer, static_argnums=())()(x)[0]

    both = {"params": 0, "stats": 1}
    return {
        "plain": (Layer(), X[0]),
        "scan": (Scanned({"variable_axes": both}), X[0]),
        "scan of two": (
            Scanned({"variable_axes": both, "axes_collections": ("stats", "params")}),
            X[0],
        ),
        "vmap": (Mapped({"variable_axes": both}), X),
        "vmap, named": (
            Mapped({"variable_axes": both, "partitioning_axis_names": {"params": "copy"}}),
            X,
        ),
        "remat": (Rematted(), X),
    }


def described(lib, partitioning, name):
    model, x = models(lib, partitioning)[name]
    variables = model.init(KEY, x)
    _, after = model.apply(variables, x, mutable=True)
    names = {c: v for c, v in variables.items() if c.endswith("_axes")}
    specs = {c: jax.tree.map(str, partitioning.get_axis_names(v)) for c, v in names.items()}
    arrays = [{c: v for c, v in found.items() if c not in names} for found in (variables, after)]
    return arrays, {c: str(v) for c, v in names.items()}, str(specs)


@pytest.mark.parametrize("name", models(ramie.linen, ramie.linen.partitioning))
def test_equal(name):
    arrays, names, specs = described(ramie.linen, ramie.linen.partitioning, name)
    want, want_names, want_specs = described(flax_linen, flax_partitioning, name)
    assert jax.tree.structure(arrays) == jax.tree.structure(want)
    jax.tree.map(assert_exact, arrays, want)
    assert names == want_names
    assert specs == want_specs
