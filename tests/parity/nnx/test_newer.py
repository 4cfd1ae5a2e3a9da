"""What came after Flax 0.12.8: the same with the Flax of this environment, where that has it."""

import dataclasses

import pytest

flax = pytest.importorskip("flax")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from flax import nnx as theirs  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

from ramie import nnx as ours  # noqa: E402

if not hasattr(theirs, "RoPE"):
    pytest.skip("this is what Flax 0.12.12 brought", allow_module_level=True)

BOTH = (ours, theirs)


def _plus(x):
    return x + 1


def _scaled(x, scale, bias=0):
    return x * scale + bias


def _scaled_by_name(x, *, scale=1):
    return x * scale


CHAINS = [
    ([_scaled_by_name, _plus, _scaled_by_name], (2,), {"scale": 3}),
    ([_plus, _scaled], (2,), {"scale": 3, "bias": 1}),
    ([_plus, _plus], (2,), {"scale": 3}),
    ([lambda x: {"x": x, "bias": 7}, _scaled], (2,), {"scale": 3}),
    ([lambda x: {"x": x, "scale": 7}, _scaled], (2,), {}),
    ([lambda x: {"x": x, "scale": 7}, _scaled], (2,), {"scale": 3}),
    ([lambda x: {"x": x, "scale": 7}, lambda x, **kw: (x, kw)], (2,), {"scale": 3}),
    ([lambda x: {"x": x, "other": 7}, _scaled], (2,), {"scale": 3}),
    ([lambda x: (x, 5), _scaled], (2,), {"scale": 3}),
    ([lambda x: [x, 5], _scaled], (2,), {"scale": 3}),
    ([_plus, lambda x, /, **kw: (x, kw)], (1,), {"x": 2}),
    ([_plus, lambda x, **kw: (x, kw)], (), {"x": 2}),
    ([max], (2, 3), {"scale": 3}),
    ([3], (2,), {}),
    ([], (2,), {}),
]


@pytest.mark.parametrize("number", range(len(CHAINS)))
def test_sequential(number):
    layers, args, kwargs = CHAINS[number]
    outcomes = []
    for nnx in BOTH:
        model = nnx.Sequential(*layers)
        assert list(model) == layers
        try:
            outcomes.append(model(*args, **kwargs))
        except TypeError as error:
            outcomes.append(str(error).partition(" in ")[0].translate(str.maketrans("", "", "{}")))
    assert outcomes[0] == outcomes[1]


@pytest.mark.filterwarnings("ignore:Using 'Module:DeprecationWarning")
@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize("capture_noop", [None, False, True])
def test_sow_and_perturb(flag, capture_noop):
    def run(nnx, config):
        class Model(nnx.Module):
            def __call__(self, x):
                kept = self.sow(nnx.Intermediate, "h", x, capture_noop=capture_noop)
                return kept, self.perturb("p", x, capture_noop=capture_noop)

        model = Model()
        config.update("nnx_sow_capture_noop", flag)
        try:
            outside = model(1.0), sorted(nnx.to_pure_dict(nnx.state(model)))
            out, *states = nnx.capture(Model(), nnx.Intermediate, nnx.Perturbation)(1.0)
        finally:
            config.update("nnx_sow_capture_noop", False)
        return outside, out, [nnx.to_pure_dict(state) for state in states]

    from flax.configurations import config as their_config

    from ramie.configurations import config as our_config

    assert run(ours, our_config) == run(theirs, their_config)


def test_capture_passes_over_lists():
    def run(nnx):
        class Part(nnx.Module):
            def __call__(self, x):
                self.sow(nnx.Intermediate, "h", x)
                return 2 * x

        class Model(nnx.Module):
            def __init__(self):
                self.parts = nnx.List([Part(), Part()])

            def __call__(self, x):
                sizes.append((len(self.parts), len(jax.tree.leaves(self.parts[0:0]))))
                return self.parts[1](self.parts[0](x))

        sizes = []
        y, state = nnx.capture(Model(), nnx.Intermediate)(1.0)
        return sizes, y, nnx.to_pure_dict(state)

    assert run(ours) == run(theirs)


def test_setters():
    def run(nnx):
        class Model(nnx.Module):
            @property
            def rate(self):
                return self._rate

            @rate.setter
            def rate(self, value):
                self._rate = value

            @property
            def fixed(self):
                return 1

        found = []
        for value in (1, jnp.ones(2), nnx.Param(2), nnx.data(3)):
            model = Model()
            model.rate = value
            names = [name for name in vars(model) if not name.startswith("_pytree")]
            found.append((names, len(jax.tree.leaves(model))))
        with pytest.raises(AttributeError):
            model.fixed = 2
        return found

    assert run(ours) == run(theirs)


@pytest.mark.parametrize("kind", ["cond", "switch", "while_loop", "fori_loop"])
def test_traces_of_branches_and_loops(kind):
    def run(nnx):
        traces = 0

        def f(*args):
            nonlocal traces
            traces += 1
            return jnp.logical_not(args[-1])

        x = jnp.array(False)
        call = {
            "cond": lambda: nnx.cond(True, f, f, x, graph=False),
            "switch": lambda: nnx.switch(0, [f, f], x, graph=False),
            "while_loop": lambda: nnx.while_loop(f, f, x, graph=False),
            "fori_loop": lambda: nnx.fori_loop(0, 2, f, x, graph=False),
        }[kind]
        found = [call() for _ in range(3)]
        assert_exact(found[0], found[2])
        return traces, bool(found[0])

    assert run(ours) == run(theirs)


def test_metadata_across_the_bridge():
    from flax import linen as their_linen

    from ramie import linen as our_linen

    def run(nnx, linen):
        convert = nnx.bridge.variables
        with nnx.use_eager_sharding(False):
            box = convert.to_linen_var(nnx.Param(1, note=2))
            found = [(type(box).__name__, box.metadata)]
            for cls in (linen.Partitioned, linen.LogicallyPartitioned):
                variable = convert.to_nnx_var("params", cls(1, ("a", None)))
                again = convert.to_linen_var(variable)
                metadata = variable.get_metadata(exclude_required=True)
                metadata["linen_meta_type"] = metadata["linen_meta_type"].__name__
                found.append((metadata, type(again).__name__, again.names))
        return found

    assert run(ours, our_linen) == run(theirs, their_linen)


def test_scales_of_weight_norm_are_parameters():
    def run(nnx):
        layer = nnx.WeightNorm(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1))
        return [
            (path, type(leaf).__name__, leaf.shape)
            for path, leaf in nnx.to_flat_state(nnx.state(layer))
        ]

    assert run(ours) == run(theirs)


def test_objects_and_fields_whose_metadata_say_what_is_data():
    def run(nnx):
        class Points(nnx.Object):
            def __init__(self):
                self.rows, self.label = [jnp.array(1), jnp.array(2)], "a"

        @dataclasses.dataclass
        class Point(nnx.Pytree):
            x: int = dataclasses.field(metadata={"static": False})
            label: str = dataclasses.field(metadata={"static": True})

        points = Points()
        found = [len(jax.tree.leaves(points)), nnx.to_pure_dict(nnx.state(points))]
        found.append(issubclass(nnx.Module, nnx.Object))
        found.append(jax.tree.leaves(Point(1, "a")))
        for wrong in (
            lambda: type(nnx.Object)("Wrong", (Points,), {}, pytree=True),
            lambda: nnx.data(metadata={"static": True}),
            lambda: Point(1, jnp.ones(1)),
        ):
            with pytest.raises(ValueError) as caught:
                wrong()
            found.append(str(caught.value)[:25])
        return found

    assert run(ours) == run(theirs)


def test_each_class_says_for_itself_that_it_is_no_pytree():
    def run(nnx):
        class Base(nnx.Module, pytree=False):
            def __init__(self):
                self.x = jnp.ones(2)

        class Again(Base):
            pass

        class Neither(Base, pytree=False):
            pass

        return [type(jax.tree.leaves(cls())[0]) is cls for cls in (Base, Again, Neither)]

    assert run(ours) == run(theirs) == [True, False, True]


def test_what_modules_hold_while_capture_runs():
    def run(nnx):
        class Model(nnx.Module):
            def __call__(self, x):
                self.sow(nnx.Intermediate, "x", x)
                return [(type(v).__name__, dict(v.get_value())) for v in self.__captures__]

        return nnx.capture(Model(), nnx.Intermediate, nnx.Perturbation)(1.0)[0]

    assert run(ours) == run(theirs)
