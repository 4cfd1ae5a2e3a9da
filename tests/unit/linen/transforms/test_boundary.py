"""Transformed module classes, methods and functions."""

import functools
import gc
import weakref

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import errors
from ramie import linen as nn

KEY = jax.random.key(0)
X = jnp.arange(6.0).reshape(2, 3)


class Scale(nn.Module):
    """A parameter made in a compact method."""

    factor: float = 1.0

    @nn.compact
    def __call__(self, x):
        return x * self.factor * self.param("w", nn.initializers.normal(1.0), ())


class ScaleInSetup(nn.Module):
    """A parameter and a submodule made in setup."""

    def setup(self):
        self.w = self.param("w", nn.initializers.normal(1.0), ())
        self.inner = Scale()

    def __call__(self, x):
        return self.inner(x * self.w)


def shapes(tree):
    return jax.tree.map(jnp.shape, tree)


def mapped(target, **options):
    return nn.vmap(target, variable_axes={"params": 0}, split_rngs={"params": True}, **options)


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


def test_names_go_on_counting_through_a_function():
    def two_more(module, x):
        return Scale()(Scale()(x))

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.jit(two_more)(self, Scale()(x))
            x = nn.remat(two_more)(self, Scale()(x))
            return Scale()(x)

    variables = Model().init(KEY, X)
    assert set(variables["params"]) == {f"Scale_{i}" for i in range(7)}
    Model().apply(variables, X)


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


@pytest.mark.parametrize("made", [Scale, lambda: nn.Variable(None, "c", "n")])
def test_modules_and_variables_cannot_leave(made):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.make()
            return x

        @nn.jit
        def make(self):
            return made()

    with pytest.raises(errors.TransformedMethodReturnValueError, match="make"):
        Model().init(KEY, X)


def test_shared_modules_are_lifted_with_those_that_hold_them():
    class Counter(nn.Module):
        @nn.compact
        def __call__(self, x):
            calls = self.variable("state", "calls", lambda: 0)
            calls.value += 1
            return x

    class Holder(nn.Module):
        inner: nn.Module

        @nn.compact
        def __call__(self, x, other):
            return other(self.inner(x))

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            counter = Counter()
            for _ in range(2):
                x = nn.jit(Holder)(counter)(x, counter)
            return counter(x)

    variables = Model().init(KEY, X)
    assert variables["state"] == {"Counter_0": {"calls": 5}}
    _, state = Model().apply(variables, X, mutable=["state"])
    assert state["state"] == {"Counter_0": {"calls": 10}}


def test_variables_pass_through_arguments_and_fields():
    class Adder(nn.Module):
        total: nn.Variable

        @nn.jit
        def __call__(self, x):
            self.total.value += x.sum()
            return x

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            total = self.variable("state", "total", lambda: jnp.float32(0))
            self.add(total, x)
            return Adder(total)(x)

        @nn.remat
        def add(self, total, x):
            total.value += x.sum()

    assert float(Model().init(KEY, X)["state"]["total"]) == 2 * float(X.sum())


def test_attributes_of_post_init_and_setup_are_there_inside():
    class Model(nn.Module):
        features: int

        def __post_init__(self):
            self.hidden = 2 * self.features
            super().__post_init__()

        def setup(self):
            self.dense = nn.Dense(self.hidden)
            self.constant = self.helper()

        @nn.remat
        def helper(self):
            return jnp.ones((1, self.hidden))

        @nn.jit
        def __call__(self, x):
            return self.dense(x) + self.constant

        def plain(self, x):
            return self.dense(x) + self(x)

    variables = Model(2).init(KEY, X)
    assert shapes(variables)["params"]["dense"]["kernel"] == (3, 4)
    Model(2).apply(variables, X, method="plain")


def test_a_mistake_in_setup_shows_in_init():
    class Broken(nn.Module):
        def setup(self):
            self.a = nn.Dense(2)
            self.a = nn.Dense(2)

        @nn.jit
        def __call__(self, x):
            return x

    with pytest.raises(errors.NameInUseError):
        Broken().init(KEY, X)


def test_names_given_inside_must_not_be_those_of_arguments():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return self.helper(x, nn.Dense(2, name="a"))

        @nn.jit
        def helper(self, x, module):
            nn.Dense(2, name="a")
            return module(x)

    with pytest.raises(errors.NameInUseError):
        Model().init(KEY, X)


# jit -----------------------------------------------------------------------------------------


def test_one_program_serves_modules_with_equal_fields():
    traces = []

    class Traced(nn.Module):
        settings: list
        power: int = 1

        @nn.compact
        def __call__(self, x):
            traces.append(self.power)
            return x**self.power + self.param("w", nn.initializers.normal(1.0), ())

    cls = nn.jit(Traced)

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            for _ in range(3):
                x = cls([1, {"a": 2}])(x)
            return cls([1, {"a": 2}], power=2)(x)

    variables = Model().init(KEY, X)
    assert traces == [1, 2]
    values = {float(p["w"]) for p in variables["params"].values()}
    assert len(values) == 4
    Model().apply(variables, X)
    Model().apply(variables, X)
    assert traces == [1, 2, 1, 2]
    assert cls([1, {"a": 3}]).apply({"params": {"w": 0.0}}, X) is not None
    assert traces[-1] == 1 and len(traces) == 5


def test_static_arguments_count_from_the_module():
    class Model(nn.Module):
        @functools.partial(nn.jit, static_argnums=2, static_argnames="mode")
        def __call__(self, x, train, *, mode="slow"):
            assert train is True and mode == "fast"
            return x

    assert_exact(Model().apply({}, X, True, mode="fast"), X)


def test_interception_is_part_of_a_program():
    seen = []

    def spy(next_fun, args, kwargs, context):
        seen.append(context.method_name)
        return next_fun(*args, **kwargs)

    model = nn.jit(Scale)()
    variables = model.init(KEY, X)
    model.apply(variables, X)
    with nn.intercept_methods(spy):
        model.apply(variables, X)
    assert "__call__" in seen


def test_captured_intermediates_come_out_of_programs():
    class Model(nn.Module):
        @nn.jit
        @nn.compact
        def __call__(self, x):
            self.sow("intermediates", "sum", x.sum())
            return Scale(name="inner")(x)

    variables = Model().init(KEY, X)
    _, state = Model().apply(variables, X, capture_intermediates=True)
    found = state["intermediates"]
    assert set(found) == {"sum", "inner", "__call__"}
    assert float(found["sum"][0]) == float(X.sum())


def test_programs_keep_no_arrays_alive():
    model = nn.jit(Scale)()
    weight = jnp.ones(()) * 3
    kept = weakref.ref(weight)
    model.apply({"params": {"w": weight}}, X)
    del weight
    gc.collect()
    assert kept() is None


def test_an_unbound_module_can_be_compiled():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(x)

        @nn.jit
        def make(self, key, x):
            return self.init(key, x)

    assert shapes(Model().make(KEY, X)) == shapes(Model().init(KEY, X))
    with pytest.raises(errors.CallCompactUnboundModuleError):
        nn.jit(Model)()(X)


# Loops ---------------------------------------------------------------------------------------
