"""Binding a module runs the `__post_init__` of its class again."""

import copy
import dataclasses
import functools
import pickle

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_close

import ramie.linen as nn
from ramie import errors

X = jnp.ones((2, 3))
KEY = jax.random.key(0)


def shapes(variables):
    return jax.tree.map(jnp.shape, variables)


class Adapter(nn.Module):
    """Adds a low-rank map beside the parameters of the layer that it wraps."""

    model: nn.Module

    def __post_init__(self):
        super().__post_init__()
        if self.scope is not None:
            nn.share_scope(self, self.model)

    @nn.compact
    def __call__(self, x):
        a = self.param("a", nn.initializers.normal(), (3, 1))
        return self.model(x) + x @ a


FLAT = {"a": (3, 1), "bias": (1,), "kernel": (3, 1)}


class InSetup(nn.Module):
    def setup(self):
        self.layer = Adapter(nn.Dense(1))

    def __call__(self, x):
        return self.layer(x)


class InCompact(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Adapter(nn.Dense(1, name="layer"))(x)


class InField(nn.Module):
    layer: nn.Module

    def __call__(self, x):
        return self.layer(x)


class InList(nn.Module):
    def setup(self):
        self.layers = [Adapter(nn.Dense(1)), nn.Dense(1)]

    def __call__(self, x):
        return self.layers[0](x)


@pytest.mark.parametrize(
    "model, expected",
    [
        (Adapter(nn.Dense(1)), FLAT),
        (InSetup(), {"layer": FLAT}),
        (InCompact(), {"layer": FLAT}),
        (InField(Adapter(nn.Dense(1))), {"layer": FLAT}),
        (InList(), {"layers_0": FLAT}),
        (nn.Sequential([Adapter(nn.Dense(1))]), {"layers_0": FLAT}),
        (nn.jit(InField)(Adapter(nn.Dense(1))), {"layer": FLAT}),
        (nn.remat(InCompact)(), {"layer": FLAT}),
    ],
    ids=["top", "setup", "compact", "field", "list", "sequential", "jit", "remat"],
)
def test_a_wrapper_may_share_the_scope_of_its_model_when_it_is_bound(model, expected):
    variables = model.init(KEY, X)
    assert shapes(variables) == {"params": expected}
    alone = jax.tree.leaves(variables, is_leaf=lambda x: "a" in x)[0]
    y = X @ alone["kernel"] + alone["bias"][None] + X @ alone["a"]
    assert_close(model.apply(variables, X), y)
    bound = model.bind(variables)
    assert_close(bound(X), y)
    assert shapes(bound.unbind()[1]) == shapes(variables)


def test_a_module_bound_twice_stays_what_its_constructor_was_given():
    class Doubled(nn.Module):
        features: int
        rate: float = 0.125

        def __post_init__(self):
            self.features = 2 * self.features
            self.rate = self.rate / 3
            super().__post_init__()

        @nn.compact
        def __call__(self, x):
            assert self.rate == 0.125 / 3
            return nn.Dense(self.features)(x)

    expected = {"bias": (8,), "kernel": (3, 8)}
    model = Doubled(4)
    for same in (model, model.clone(), copy.copy(model), copy.deepcopy(model)):
        assert shapes(same.init(KEY, X)) == {"params": {"Dense_0": expected}}
    variables = model.init(KEY, X)
    for bound in (model.bind(variables), model.bind(variables).bind(variables)):
        assert bound(X).shape == (2, 8)
        assert bound.unbind()[0] == model
    inside = InField(model).init(KEY, X)
    assert shapes(inside) == {"params": {"layer": {"Dense_0": expected}}}
    model.features = 5  # somebody else's decision, which is no input of `__post_init__`
    assert model.features == 5


def test_attributes_may_be_set_after_the_place_is_known():
    class Halved(nn.Module):
        features: int = 4

        def __post_init__(self):
            super().__post_init__()
            self.half = self.features // 2

        @nn.compact
        def __call__(self, x):
            return nn.Dense(self.half)(x)

    variables = Halved().init(KEY, X)
    assert shapes(variables) == {"params": {"Dense_0": {"bias": (2,), "kernel": (3, 2)}}}
    with pytest.raises(errors.SetAttributeFrozenModuleError):
        Halved().bind(variables).half = 3


def test_a_module_that_is_made_for_an_empty_field_is_named_after_it():
    class Filled(nn.Module):
        layer: nn.Module | None = None

        def __post_init__(self):
            if self.layer is None:
                self.layer = nn.Dense(1)
            super().__post_init__()

        def __call__(self, x):
            return self.layer(x)

    class Setup(nn.Module):
        def setup(self):
            self.inner = Filled()

        def __call__(self, x):
            return self.inner(x)

    class Compact(nn.Module):
        inner: nn.Module

        @nn.compact
        def __call__(self, x):
            return self.inner(x)

    layer = {"layer": {"bias": (1,), "kernel": (3, 1)}}
    assert shapes(Filled().init(KEY, X)) == {"params": layer}
    assert shapes(Setup().init(KEY, X)) == {"params": {"inner": layer}}
    assert shapes(Compact(Filled()).init(KEY, X)) == {"params": {"inner": layer}}


def test_where_and_under_which_name_it_is_bound_is_known():
    seen = []

    class Placed(nn.Module):
        def __post_init__(self):
            super().__post_init__()
            if self.scope is not None:
                seen.append((type(self.parent).__name__, self.name, self.path))

        def __call__(self, x):
            return x

    class Parent(nn.Module):
        given: nn.Module

        def setup(self):
            self.own = Placed()
            self.many = {"a": Placed(), "b": Placed(name="chosen")}

        def __call__(self, x):
            return self.many["b"](self.many["a"](self.own(self.given(x))))

    Parent(Placed()).apply({}, X)
    names = sorted(seen)
    assert names == [("Parent", name, (name,)) for name in ("chosen", "given", "many_a", "own")]


def test_it_does_not_run_again_where_it_takes_arguments():
    """Fields that only the constructor takes are not kept, so it could not be called."""

    class Scaled(nn.Module):
        factor: dataclasses.InitVar[int]

        def __post_init__(self, factor):
            self.kept = factor
            super().__post_init__()

        def __call__(self, x):
            return x * self.kept

    assert Scaled(3).apply({}, X).sum() == 18


def test_a_wrapper_can_be_pickled():
    model = Adapter(nn.Dense(1))
    again = pickle.loads(pickle.dumps(model))
    assert again == model
    assert shapes(again.init(KEY, X)) == {"params": FLAT}


def test_whether_submodules_may_be_made():
    seen = {}

    class Asking(nn.Module):
        def setup(self):
            seen["setup"] = self._initialization_allowed

        def __call__(self, x):
            seen["method"] = self._initialization_allowed
            return x

    class Compact(nn.Module):
        @nn.compact
        def __call__(self, x):
            seen["compact"] = self._initialization_allowed
            return self.inside(x)

        def inside(self, x):
            seen["inside"] = self._initialization_allowed
            return x

    Asking().apply({}, X)
    Compact().apply({}, X)
    assert seen == {"setup": True, "method": False, "compact": True, "inside": True}
    assert Asking()._initialization_allowed
    assert not Asking().bind({})._initialization_allowed


def test_methods_say_what_the_class_body_has():
    """By that mark other projects find the function to wrap; what they wrap is run in its place."""
    body = nn.Dense.__call__
    assert body.method_handler_wrapped
    assert not hasattr(body.__wrapped__, "method_handler_wrapped")

    @functools.wraps(body.__wrapped__)
    def doubled(self, x):
        return 2 * body.__wrapped__(self, x)

    changed = type("Dense", (nn.Dense,), {"__call__": nn.module.wrap_method_once(doubled)})
    variables = nn.Dense(1).init(KEY, X)
    plain = nn.Dense(1).apply(variables, X)
    assert_close(changed(1).apply(variables, X), 2 * plain)
