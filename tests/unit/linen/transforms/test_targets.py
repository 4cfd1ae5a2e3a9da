"""What can be transformed: classes, methods, partial applications and functions."""

import functools

import pytest
from tests.tolerance import assert_close, assert_exact
from tests.unit.linen.transforms.scaled_modules import KEY, Scale, ScaleInSetup, X, mapped, shapes

from ramie import errors
from ramie import linen as nn

KINDS = {
    "jit": nn.jit,
    "remat": nn.remat,
    "fold_rngs": nn.fold_rngs,
    "map_variables": functools.partial(nn.map_variables, mapped_collections="params", init=True),
    "add_metadata_axis": nn.add_metadata_axis,
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("cls", [Scale, ScaleInSetup])
def test_class_method_and_function_compute_alike(name, cls):
    transform = KINDS[name]
    plain = cls()
    variables = plain.init(KEY, X)
    transformed = transform(cls)()
    assert shapes(transformed.init(KEY, X)) == shapes(variables)
    assert_close(transformed.apply(variables, X), plain.apply(variables, X))

    class Decorated(cls):
        __call__ = transform(cls.__call__)

    assert_close(Decorated().apply(variables, X), plain.apply(variables, X))

    class Around(nn.Module):
        @nn.compact
        def __call__(self, x):
            return transform(lambda module, x: module(x))(cls(name="it"), x)

    nested = {"params": {"it": variables["params"]}}
    assert shapes(Around().init(KEY, X)) == shapes(nested)
    assert_close(Around().apply(nested, X), plain.apply(variables, X))


def test_classes_are_named_after_the_transformation():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            for cls in (nn.jit(Scale), nn.remat(Scale), nn.fold_rngs(Scale), nn.jit(Scale)):
                x = cls()(x)
            return nn.remat(nn.jit(Scale))()(mapped(Scale)()(x))

    assert set(Model().init(KEY, X)["params"]) == {
        "JitScale_0",
        "JitScale_1",
        "CheckpointScale_0",
        "Fold_rngsScale_0",
        "VmapScale_0",
        "CheckpointJitScale_0",
    }
    assert nn.remat_scan(Scale, lengths=(2,)).__name__ == "Remat_scanScale"
    assert issubclass(mapped(Scale), Scale)
    assert mapped(Scale).__doc__ == Scale.__doc__


def test_partial_application_of_a_class():
    dense = mapped(functools.partial(nn.Dense, use_bias=False))(features=4)
    assert shapes(dense.init(KEY, X)) == {"params": {"kernel": (2, 3, 4)}}


def test_chosen_methods_with_options_of_their_own():
    class Two(nn.Module):
        def setup(self):
            self.w = self.param("w", nn.initializers.ones, ())

        def double(self, x):
            return 2 * x * self.w

        def total(self, x):
            return (x * self.w).sum()

    axes = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
    both = nn.vmap(Two, methods={"double": axes, "total": {**axes, "out_axes": 0}})()
    variables = both.init(KEY, X, method="double")
    assert shapes(variables) == {"params": {"w": (2,)}}
    assert both.apply(variables, X, method="total").shape == (2,)
    listed = nn.jit(Two, methods=["double"])()
    assert_exact(listed.apply({"params": {"w": 1.0}}, X, method="double"), 2 * X)


def test_targets_that_cannot_be_transformed():
    for target in (nn.Dense(3), 3, None):
        with pytest.raises(errors.TransformTargetError):
            nn.vmap(target)
    with pytest.raises(errors.TransformTargetError):
        nn.jit(lambda x: x)(3)
    with pytest.raises(AttributeError, match="nothing"):
        nn.jit(Scale, methods=["nothing"])
    with pytest.raises(ValueError, match="methods argument"):
        nn.jit(Scale, methods=3)
