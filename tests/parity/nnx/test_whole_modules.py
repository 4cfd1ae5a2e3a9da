"""Capture, views, mapping, tables and the bridge give what Flax gives."""

import jax
import jax.numpy as jnp
import pytest

flax = pytest.importorskip("flax")

from flax import linen as their_linen  # noqa: E402
from flax import nnx as theirs  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

from ramie import linen as our_linen  # noqa: E402
from ramie import nnx as ours  # noqa: E402

BOTH = [(ours, our_linen), (theirs, their_linen)]
X = jnp.arange(6.0).reshape(2, 3)


def _plain(tree):
    return jax.tree_util.tree_map_with_path(
        lambda path, x: (jax.tree_util.keystr(path), jnp.asarray(x).tolist()), tree
    )


def _same(run, *args):
    mine, other = (run(nnx, linen, *args) for nnx, linen in BOTH)
    assert mine == other
    return mine


def _net(nnx):
    class Scale(nnx.Module):
        def __init__(self):
            self.weight = nnx.Param(jnp.array(3.0))

        def __call__(self, x):
            x = self.perturb("before", x)
            self.sow(nnx.Intermediate, "after", self.scaled(x))
            return self.scaled(x)

        def scaled(self, x):
            return self.weight[...] * x

    class Net(nnx.Module):
        def __init__(self):
            self.items = nnx.List([Scale(), Scale()])
            self.same = self.items[0]

        def __call__(self, x):
            return self.same(self.items[1](self.items[0](x)))

    return Net()


@pytest.mark.parametrize(
    "kinds", [(), ("Intermediate",), ("Perturbation", "Intermediate"), ("Variable", "Perturbation")]
)
def test_captured_states(kinds):
    def run(nnx, linen):
        found = nnx.capture(_net(nnx), *(getattr(nnx, kind) for kind in kinds))(2.0)
        results = found if kinds else (found,)
        values = [
            [(path, jnp.sum(jnp.array(x.get_value())).tolist()) for path, x in nnx.to_flat_state(s)]
            for s in results[1:]
        ]
        return float(results[0]), values

    _same(run)


def test_captured_outputs_of_methods():
    def run(nnx, linen):
        kind = nnx.Intermediate
        _, found = nnx.capture(_net(nnx), kind, method_outputs=kind)(2.0)
        return [(p, [float(y) for y in x.get_value()]) for p, x in nnx.to_flat_state(found)]

    _same(run)


def test_views_and_their_descriptions():
    def run(nnx, linen):
        model = nnx.Dict(d=nnx.Dropout(0.5, rngs=nnx.Rngs(0)), n=nnx.BatchNorm(2, rngs=nnx.Rngs(0)))
        view = nnx.view(model, deterministic=True, use_running_average=True)
        other = nnx.with_attributes(model, only=nnx.Dropout, rate=0.1)
        heads = [line for line in nnx.view_info(model).splitlines() if not line.startswith("    ")]
        return view.d.deterministic, view.n.use_running_average, other.d.rate, model.d.rate, heads

    _same(run)


def test_packed_and_flat_models():
    def run(nnx, linen):
        model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
        packed = nnx.unpack(model)
        leaves = jax.tree_util.tree_leaves_with_path(packed)
        _, flat = nnx.flatten({"m": model, "v": nnx.Param(jnp.ones(1))})
        return [jax.tree_util.keystr(path) for path, _ in leaves], [path for path, _ in flat]

    _same(run)


def test_recursive_map_visits_the_same_parts():
    def run(nnx, linen):
        shared = nnx.Param(jnp.ones(1))
        model = nnx.Dict(a=nnx.Dict(v=shared), b=nnx.data([shared, 3, {"c": 4}]))
        seen = []

        def visit(path, x):
            seen.append((path, type(x).__name__))
            return x

        nnx.recursive_map(visit, model, graph=True)
        return [found for found in seen if "_pytree__" not in str(found[0])]

    _same(run)


def test_tables_are_the_same_text():
    class_of = {}

    def run(nnx, linen):
        class Block(nnx.Module):
            def __init__(self, rngs):
                self.linear = nnx.Linear(3, 4, rngs=rngs)
                self.norm = nnx.BatchNorm(4, rngs=rngs)
                self.scale = nnx.Param(jnp.ones((1, 4)), note="n")

            def forward(self, x, flag=True):
                return self.norm(self.linear(x)) * self.scale[...]

        class Net(nnx.Module):
            def __init__(self, rngs):
                self.block = Block(rngs)

            def __call__(self, x, *, other):
                return {"y": self.block.forward(x), "pair": (x, self.block.linear(x))}

        class_of[nnx] = Net
        text = nnx.tabulate(
            Net(nnx.Rngs(0)),
            X,
            other="text",
            console_kwargs={"force_terminal": False, "no_color": True, "width": 150},
        )
        *lines, total = text.strip().splitlines()
        # What follows, the sum by kinds, Flax does not have.
        return [*lines, total.partition(" = ")[0].strip()]

    _same(run)


@pytest.mark.parametrize("streams", [{"default": 0}, {"params": 0, "noise": 1}, {"default": 2}])
def test_linen_modules_draw_the_same(streams):
    def run(nnx, linen):
        class Noisy(linen.Module):
            @linen.compact
            def __call__(self, x):
                noise = jax.random.normal(self.make_rng("noise"), (2, 2))
                return linen.Dense(2)(x) + noise

        model = nnx.bridge.ToNNX(Noisy(), rngs=nnx.Rngs(**streams)).lazy_init(X)
        return model.Dense_0["kernel"][...].tolist(), model(X).tolist(), model(X).tolist()

    _same(run)


def test_nnx_modules_draw_the_same():
    def run(nnx, linen):
        class Noisy(nnx.Module):
            def __init__(self, rngs):
                self.linear = nnx.Linear(3, 2, rngs=rngs)
                self.drop = nnx.Dropout(0.5, rngs=rngs)

            def __call__(self, x):
                return self.drop(self.linear(x))

        class Outer(linen.Module):
            @linen.compact
            def __call__(self, x):
                return nnx.bridge.to_linen(Noisy)(x) + nnx.bridge.to_linen(Noisy, name="b")(x)

        keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
        variables = Outer().init(keys, X)
        return _plain(variables), Outer().apply(variables, X, rngs=keys).tolist()

    _same(run)


def test_modules_of_the_bridge_draw_the_same():
    def run(nnx, linen):
        bridge = nnx.bridge

        class Dense(bridge.Module):
            features: int

            @bridge.compact
            def __call__(self, x):
                init = nnx.initializers.lecun_normal()
                return x @ self.param("kernel", init, (x.shape[-1], self.features))

        class Net(bridge.Module):
            def setup(self):
                self.first = Dense(4)

            @bridge.compact
            def __call__(self, x):
                x = Dense(3)(self.first(x))
                x = bridge.nnx_in_bridge_mdl(lambda rngs: nnx.Linear(3, 2, rngs=rngs))(x)
                x = bridge.linen_in_bridge_mdl(linen.Dense(2), name="last")(x)
                return x + jax.random.normal(self.make_rng("noise"), (2, 2))

        keys = {"params": jax.random.key(0), "noise": jax.random.key(1)}
        variables = Net().init(keys, X)
        return _plain(variables), Net().apply(variables, X, rngs=keys).tolist()

    _same(run)


def test_converted_metadata():
    def run(nnx, linen):
        convert = nnx.bridge.variables
        with nnx.use_eager_sharding(False):
            box = linen.LogicallyPartitioned(jnp.ones((2, 1)), ("a", None), rules=(("a", "x"),))
            variable = convert.to_nnx_var("params", box)
            metadata = variable.get_metadata(exclude_required=True)
            back = convert.to_linen_var(variable)
            plain = convert.to_linen_var(nnx.Param(jnp.ones(1)))
            noted = convert.to_linen_var(nnx.Param(jnp.ones(1), note=1))
        names = {key: entry for key, entry in metadata.items() if key != "linen_meta_type"}
        return names, back.names, back.rules, type(plain).__name__, type(noted).__name__

    _same(run)


def test_values_that_are_captured_are_bit_identical():
    for nnx, _ in BOTH:
        y, found = nnx.capture(_net(nnx), nnx.Intermediate)(jnp.float32(1 / 3))
        assert_exact(found["items"][0]["after"].get_value()[1], y)
