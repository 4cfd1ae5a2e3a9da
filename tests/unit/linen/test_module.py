"""The Module class: construction, state, entry points, errors."""

import copy
import dataclasses
import gc
import inspect
import pickle
import threading
import weakref
from typing import Any, Generic, TypeVar, get_type_hints

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact
from tests.unit.linen.sample_modules import KEY, Affine, Counter, X, shapes

import ramie.linen as nn
from ramie import config, errors, serialization
from ramie.core import FrozenDict


class Net(nn.Module):
    width: int = 3

    def setup(self):
        self.first = Affine(self.width)

    def encode(self, x):
        return self.first(x)

    @nn.compact
    def __call__(self, x):
        return Affine(1)(self.encode(x))


# Construction ------------------------------------------------------------------------------


def test_fields_follow_dataclass_rules():
    class Model(nn.Module):
        a: int
        b: int = dataclasses.field(default=2, kw_only=True)
        c: list = dataclasses.field(default_factory=list)
        d: int = dataclasses.field(default=5, init=False)
        seed: dataclasses.InitVar[int] = 7

        def __post_init__(self, seed):
            self.derived = seed + self.a
            super().__post_init__()

    model = Model(1)
    assert (model.a, model.b, model.c, model.d, model.derived) == (1, 2, [], 5, 8)
    assert Model(1).c is not model.c
    assert list(inspect.signature(Model).parameters) == ["a", "c", "seed", "b", "parent", "name"]
    assert [f.name for f in dataclasses.fields(Model)] == ["a", "b", "c", "d", "parent", "name"]
    with pytest.raises(TypeError, match="non-default argument 'y' follows"):
        type("Bad", (nn.Module,), {"__annotations__": {"x": int, "y": int}, "x": 1})


def test_a_subclass_may_add_required_fields_and_keyword_only_ones():
    class Base(nn.Module, kw_only=True):
        scale: int = -1

    class Derived(Base):
        size: int

    assert (Derived(8).size, Derived(8).scale, Derived(8, scale=2).scale) == (8, -1, 2)
    with pytest.raises(TypeError, match="positional"):
        Base(2)
    assert get_type_hints(Derived)["size"] is int


def test_generic_modules_construct_anywhere():
    T = TypeVar("T")

    class Box(nn.Module, Generic[T]):
        @nn.compact
        def __call__(self, x):
            return x

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Box[int]()(x)

    assert Model().apply({}, 3) == 3


@pytest.mark.parametrize("name", ["parent", "name"])
@pytest.mark.parametrize("default", [{}, {"default": None}])
def test_fields_that_every_module_has_cannot_be_declared(name, default):
    """Flax takes a field called `name`, which its documentation forbids."""
    body = {"__annotations__": {"size": int, name: Any}, **({name: None} if default else {})}
    with pytest.raises(errors.ReservedModuleAttributeError, match=rf"reserved: .*'{name}'"):
        type("Bad", (nn.Module,), body)
    with pytest.raises(errors.ReservedModuleAttributeError):
        type("Bad", (Affine,), body)


def test_what_has_the_name_of_a_field_but_is_none_does_no_harm():
    class Named(nn.Module):
        name = "mine"  # without an annotation: no field, and no name of the instances

        def __call__(self):
            return self.name

    assert Named().apply({}) is None and Named(name="other").apply({}) == "other"


def test_bad_parents_are_refused():
    with pytest.raises(ValueError, match=r"^parent must be None, Module or Scope"):
        Affine(2, parent=3)


def test_setup_is_not_called_by_hand():
    class Base(nn.Module):
        def setup(self):
            self.one = Affine(2)

    class Model(Base):
        def setup(self):
            super().setup()  # bound: no harm
            self.two = Affine(3)

        def __call__(self, x):
            return self.two(self.one(x))

    for module in (Model(), Model().bind({}).clone()):
        with pytest.raises(errors.CallSetupUnboundModuleError, match="in Module Model"):
            module.setup()
    variables = Model().init(KEY, X)
    assert list(variables["params"]) == ["one", "two"]
    Affine(2).setup()  # there is none


def test_setup_by_hand_of_a_bound_module_runs_once():
    ran = []

    class Base(nn.Module):
        def setup(self):
            ran.append("base")
            self.inner = nn.Dense(2)

        def __call__(self, x):
            return self.inner(x)

    class Derived(Base):
        def setup(self):
            super().setup()
            ran.append("derived")

    x = jnp.ones((1, 2))
    variables = Derived().init(jax.random.key(0), x)
    ran.clear()
    bound = Derived().bind(variables)
    assert bound.setup() is None and bound.setup() is None
    assert bound(x).shape == (1, 2)
    assert ran == ["base", "derived"]


def test_an_attribute_is_set_by_the_documented_argument_names():
    module = Affine(2)
    module.__setattr__(name="note", val=3)
    assert module.note == 3


def test_an_override_of_post_init_must_call_super():
    class Model(nn.Module):
        def __post_init__(self):
            self.x = 1

    with pytest.raises(errors.IncorrectPostInitOverrideError):
        Model().init(KEY)


def test_an_own_constructor_is_respected():
    class Model(nn.Module):
        def __init__(self, size):
            self.size = size
            super().__post_init__()

        @nn.compact
        def __call__(self, x):
            return Affine(self.size)(x)

    assert shapes(Model(4).init(KEY, X)["params"]) == {"Affine_0": {"kernel": (2, 4)}}


# Equality, hash, repr, pickling -------------------------------------------------------------


def test_equality_and_hash_look_at_fields_and_name():
    assert Affine(2) == Affine(2) and hash(Affine(2)) == hash(Affine(2))
    assert Affine(2) != Affine(3) and Affine(2) != Affine(2, name="a") and Affine(2) != 2
    with pytest.raises(TypeError, match="hold variables"):
        hash(Affine(2).bind({}))
    with pytest.raises(TypeError, match="cannot be hashed"):
        hash(Affine([1]))

    class Own(nn.Module):
        x: int

        def __hash__(self):
            return 42

    assert hash(Own(1)) == hash(Own(2)) == 42


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_are_equal_and_work(duplicate):
    model = Net(4)
    variables = model.init(KEY, X)
    twin = duplicate(model)
    assert twin == model
    assert_exact(twin.apply(variables, X), model.apply(variables, X))


def test_pickling_a_bound_module_is_refused_because_its_variables_would_be_lost():
    bound = Net().bind(Net().init(KEY, X))
    bound(X)
    with pytest.raises(TypeError, match=r"Cannot pickle Net while it is bound.*unbind\(\)"):
        pickle.dumps(bound)
    module, variables = pickle.loads(pickle.dumps(bound.unbind()))
    assert module == Net()
    assert_exact(module.apply(variables, X), bound(X))


# Attributes --------------------------------------------------------------------------------


def test_a_module_is_frozen_once_bound():
    class Writes(nn.Module):
        @nn.compact
        def __call__(self):
            self.i = 2

    with pytest.raises(errors.SetAttributeFrozenModuleError, match="i=2"):
        Writes().apply({})

    class Field(nn.Module):
        a: int = 1

        def setup(self):
            self.a = 2

        def __call__(self):
            return self.a

    with pytest.raises(errors.SetAttributeInModuleSetupError):
        Field().apply({})
    free = Affine(2)
    free.features = 3
    assert shapes(free.init(KEY, X)) == {"params": {"kernel": (2, 3)}}


def test_setup_is_lazy_runs_once_and_freezes_containers():
    runs = []

    class Model(nn.Module):
        def setup(self):
            runs.append(None)
            self.settings = {"sizes": [1, 2]}

        def __call__(self):
            return self.settings

    bound = Model().bind({})
    assert not runs
    assert bound.settings == FrozenDict({"sizes": (1, 2)})
    assert bound() is bound.settings and len(runs) == 1
    assert "settings" in dir(Model().bind({}))
    assert not hasattr(Model(), "settings")


def test_an_error_in_setup_is_the_users_error_each_time():
    class Model(nn.Module):
        def setup(self):
            raise LookupError("mine")

        def __call__(self):
            return 1

    bound = Model().bind({})
    for _ in range(2):
        with pytest.raises(LookupError, match="mine"):
            bound()


def test_a_missing_attribute_says_when_it_would_exist():
    with pytest.raises(
        AttributeError,
        match=r'^"Net" object .* "first"\. If "first" is .*apply\'\. Call model\.apply.*\.$',
    ):
        Net().encode(X)


def test_an_attribute_error_inside_a_property_is_shown():
    class Model(nn.Module):
        @property
        def broken(self):
            return self.missing

        def __call__(self):
            return self.broken

    with pytest.raises(errors.DescriptorAttributeError) as caught:
        Model().apply({})
    assert "missing" in str(caught.value.__cause__)


# Entry points --------------------------------------------------------------------------------


def test_apply_runs_any_method():
    variables = Net().init(KEY, X)
    want = Net().apply(variables, X, method="encode")
    for method in (Net.encode, Net().encode, lambda net, x: net.first(x), "first"):
        assert_exact(Net().apply(variables, X, method=method), want)


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("absent", AttributeError),
        ("width", TypeError),
        (lambda: 1, errors.ApplyModuleInvalidMethodError),
        (3, errors.ApplyModuleInvalidMethodError),
    ],
)
def test_a_method_that_cannot_be_run_is_refused(method, error):
    with pytest.raises(error):
        Net().apply({}, method=method)


def test_a_class_is_not_an_instance():
    for call in (Affine.init, Affine.apply, Affine.init_with_output, Affine.lazy_init, Affine.bind):
        with pytest.raises(errors.InvalidInstanceModuleError):
            call({}, X)


def test_a_module_without_a_call_says_so():
    class Empty(nn.Module):
        pass

    with pytest.raises(AttributeError, match='"Empty" object has no attribute "__call__"'):
        Empty().init(KEY)


@pytest.mark.parametrize("rngs", [None, "x", 3, [KEY], {"params": "x"}, {}])
def test_init_needs_keys(rngs):
    with pytest.raises(errors.InvalidRngError):
        Affine(2).init(rngs, X)


def test_an_input_in_the_place_of_the_key_is_described_and_not_printed():
    with pytest.raises(errors.InvalidRngError, match=r"shape \(1, 2\).* init\(jax.random.key\(0\)"):
        Affine(2).init(jnp.ones((1, 2)))


def test_mutable_decides_what_comes_back():
    model = Counter()
    variables = model.init(KEY, X)
    assert_exact(model.apply({"counter": {"n": 0}}, X, mutable=["counter"])[0], X)
    assert model.apply(variables, X, mutable=True)[1]["counter"]["n"] == 1
    with pytest.raises(errors.ModifyScopeVariableError, match=r'"n".*counter'):
        model.apply(variables, X)
    assert Affine(1).apply(Affine(1).init(KEY, X), X, mutable=[])[1] == {}


def test_bind_and_unbind_are_inverse():
    variables = Net().init(KEY, X)
    bound = Net().bind(variables)
    assert_exact(bound(X), Net().apply(variables, X))
    module, held = bound.unbind()
    assert module == Net()
    assert_exact(held["params"]["first"]["kernel"], variables["params"]["first"]["kernel"])
    first, held = bound.first.unbind()
    assert (first.features, list(held["params"])) == (3, ["kernel"])
    with pytest.raises(errors.CallUnbindOnUnboundModuleError):
        Net().unbind()


def test_a_mutable_binding_keeps_what_is_written():
    bound = Counter().bind({"counter": {"n": 1}}, mutable="counter")
    bound(X)
    bound(X)
    assert bound.variables == {"counter": {"n": 3}}


def test_functions_of_a_module():
    def both(net, x):
        return net.encode(x)

    variables = nn.init(both, Net())(KEY, X)
    assert list(variables["params"]) == ["first"]
    assert_exact(nn.apply(both, Net())(variables, X), Net().apply(variables, X, method="encode"))
    output, again = nn.init_with_output(both, Net())(KEY, X)
    assert output.shape == (1, 3) and shapes(again) == shapes(variables)


def test_init_inside_a_bound_module_is_independent():
    class Model(nn.Module):
        inner: Net

        def __call__(self, x):
            return self.inner.init(KEY, x)

    made = Model(Net()).apply({}, X)
    assert shapes(made) == shapes(Net().init(KEY, X))


def test_lazy_init_from_shapes():
    lazy = Net().lazy_init(KEY, jax.ShapeDtypeStruct((1 << 40, 2), jnp.float32))
    assert_exact(lazy["params"]["first"]["kernel"], Net().init(KEY, X)["params"]["first"]["kernel"])


def test_lazy_init_gives_what_init_gives():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.variable("settings", "steps", lambda: 3)
            self.variable("settings", "kind", lambda: "mean")
            return Affine(2, name="z")(Affine(4, name="a")(x))

    lazy = Model().lazy_init(KEY, jax.ShapeDtypeStruct(X.shape, X.dtype))
    # The order of names is part of it: files follow it.
    assert serialization.to_bytes(lazy) == serialization.to_bytes(Model().init(KEY, X))


def test_lazy_init_refuses_what_needs_a_value():
    """Flax 0.12.12 takes zeros for the values, and says nothing."""

    class Centred(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x - self.param("centre", lambda _: x.mean(0, keepdims=True))

    unknown = jax.ShapeDtypeStruct((8, 2), jnp.float32)
    with pytest.raises(errors.LazyInitError, match=r"shape=\(1, 2\).* given by shape only"):
        Centred().lazy_init(KEY, unknown)

    class Branching(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Affine(2)(x) if x.sum() > 0 else x

    with pytest.raises(jax.errors.TracerBoolConversionError):
        Branching().lazy_init(KEY, unknown)


def test_the_flag_asks_for_frozen_variables():
    with config.temp_flip_flag("return_frozendict", True):
        assert isinstance(Affine(2).init(KEY, X), FrozenDict)
    assert type(Affine(2).init(KEY, X)) is dict


def test_clone_changes_fields():
    assert Net(3).clone(width=5) == Net(5)
    assert Net(3, name="a").clone().name == "a"
    with pytest.raises(TypeError, match="unexpected keyword"):
        Net().clone(depth=2)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m(X),
        lambda m: m.param("a", lambda key: 1),
        lambda m: m.variable("a", "b", lambda: 1),
        lambda m: m.make_rng("a"),
        lambda m: m.has_rng("a"),
        lambda m: m.variables,
        lambda m: m.path,
        lambda m: m.put_variable("a", "b", 1),
        lambda m: m.get_variable("a", "b"),
        lambda m: m.has_variable("a", "b"),
        lambda m: m.is_mutable_collection("a"),
        lambda m: m.is_initializing(),
        lambda m: m.sow("a", "b", 1),
        lambda m: m.perturb("a", 1),
    ],
)
def test_an_unbound_module_has_no_variables(call):
    with pytest.raises((ValueError, errors.CallCompactUnboundModuleError), match="unbound module"):
        call(Affine(2))


def test_parameters_belong_in_setup_or_compact():
    class Model(nn.Module):
        def __call__(self):
            return self.param("a", lambda key: 1)

    with pytest.raises(ValueError, match=r"must be initialized in `setup\(\)`"):
        Model().init(KEY)


@pytest.mark.parametrize(("a", "b"), [(None, None), (1, 2)])
def test_merge_param_wants_exactly_one(a, b):
    with pytest.raises(ValueError, match='Parameter "rate"'):
        nn.merge_param("rate", a, b)
    assert nn.merge_param("rate", 1, None) == nn.merge_param("rate", None, 1) == 1


def test_any_error_tells_the_innermost_module():
    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Affine("wide", name="layer")(x)

    with pytest.raises(TypeError) as caught:
        Outer().init(KEY, X)
    assert caught.value.__notes__[:2] == [  # JAX adds one of its own
        "While initializing parameter \"kernel\" in /layer: its shape is (2, 'wide'), where "
        "'wide' is a str. Sizes are integers: give features as int.",
        "In module Affine.__call__ at /layer",
    ]


# Life ----------------------------------------------------------------------------------------


def test_nothing_survives_apply_without_the_garbage_collector():
    probes = []

    class Probe(nn.Module):
        inner: Any

        @nn.compact
        def __call__(self, x):
            made = Affine(2)
            probes.extend(map(weakref.ref, (self, self.scope, made, made.scope, self.inner)))
            return made(self.inner(x))

    model = Probe(Net())
    variables = model.init(KEY, X)
    del probes[:]
    gc.disable()
    try:
        model.apply(variables, X)
        assert [probe() for probe in probes] == [None] * 5
    finally:
        gc.enable()


def test_threads_do_not_see_each_others_calls():
    class Nested(nn.Module):
        depth: int

        @nn.compact
        def __call__(self, x):
            barrier.wait()
            return Nested(self.depth - 1)(x) if self.depth else Affine(2)(x)

    barrier = threading.Barrier(4, timeout=60)
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(shapes(Nested(3).init(KEY, X))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(r == results[0] for r in results)


def test_attributes_of_post_init_survive_unbinding():
    class Model(nn.Module):
        features: int

        def __post_init__(self):
            self.hidden = 2 * self.features
            super().__post_init__()

        def setup(self):
            self.dense = nn.Dense(self.hidden)

        def __call__(self, x):
            return self.dense(x)

    x = jnp.ones((1, 3))
    variables = Model(2).init(jax.random.key(0), x)
    module, _ = Model(2).bind(variables).unbind()
    assert module.hidden == 4
    assert module.apply(variables, x).shape == (1, 4)
