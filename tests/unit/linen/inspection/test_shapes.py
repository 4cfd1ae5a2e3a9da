"""Running `init` on shapes: who runs in it, and that nothing is computed."""

import jax
import jax.numpy as jnp
from tests.unit.linen.sample_modules import KEY, Affine, X

import ramie.linen as nn
from ramie.linen.inspection.shapes import init_on_shapes


def test_module_paths_lists_unbound_modules_by_path():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer = Affine(2)
            return Affine(3)(layer(layer(x)))

    paths = Model().module_paths(KEY, X)
    assert list(paths) == ["", "Affine_0", "Affine_1"]
    assert [paths[p].features for p in ("Affine_0", "Affine_1")] == [2, 3]
    assert all(module.scope is None for module in paths.values())


def test_an_interceptor_sees_the_calls_on_shapes_and_variables_come_back_as_shapes():
    seen = []

    def note(next_fun, args, kwargs, about):
        seen.append((about.method_name, isinstance(args[0], jax.core.Tracer)))
        return next_fun(*args, **kwargs)

    x = jax.ShapeDtypeStruct((2, 3), jnp.float32)
    variables = init_on_shapes(Affine(4), note, KEY, (x,), {})
    assert seen == [("__call__", True)]
    assert variables == {"params": {"kernel": jax.ShapeDtypeStruct((3, 4), jnp.float32)}}
