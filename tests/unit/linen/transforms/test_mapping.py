"""Modules that are mapped or scanned over an axis."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_close, assert_exact
from tests.unit.linen.transforms.scaled_modules import KEY, X, mapped, shapes

from ramie import errors
from ramie import linen as nn
from ramie.core.meta import PARTITION_NAME


class Layer(nn.Module):
    @nn.compact
    def __call__(self, x, shift=None):
        y = jnp.tanh(nn.Dense(x.shape[-1])(x))
        return (y if shift is None else y + shift), y.mean()


def test_scan_is_a_loop_over_layers():
    layers = nn.scan(Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=4)()
    variables = layers.init(KEY, X)
    y, means = layers.apply(variables, X)
    expected = X
    for i in range(4):
        weights = jax.tree.map(lambda leaf, i=i: leaf[i], variables)
        expected, _ = Layer().apply(weights, expected)
    assert_close(y, expected, "model")
    assert means.shape == (4,)
    shifted, _ = layers.apply(variables, X, shift=1.0)
    assert float(jnp.abs(shifted - y).max()) > 0.1


def test_scan_in_a_function_keeps_metadata():
    def body(module, x):
        init = nn.with_partitioning(nn.initializers.normal(1.0), ("in", "out"))
        return nn.Dense(3, kernel_init=init, use_bias=False)(x), ()

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.scan(
                body,
                variable_axes={"params": 0},
                split_rngs={"params": True},
                length=2,
                metadata_params={PARTITION_NAME: "layers"},
            )(self, x)[0]

    variables = Model().init(KEY, X)
    kernel = variables["params"]["Dense_0"]["kernel"]
    assert kernel.names == ("layers", "in", "out")
    assert kernel.value.shape == (2, 3, 3)
    Model().apply(variables, X)


def test_keywords_reach_a_mapped_module():
    class Shifted(nn.Module):
        @nn.compact
        def __call__(self, x, *, by):
            return x * self.param("w", nn.initializers.ones, ()) + by

    model = mapped(Shifted)()
    variables = model.init(KEY, X, by=jnp.ones(3))
    assert_exact(model.apply(variables, X, by=jnp.ones(3)), X + 1)


def test_remat_scan_stacks_a_module():
    model = nn.remat_scan(nn.Dense, lengths=(2, 3))(features=3)
    variables = model.init(KEY, X)
    assert shapes(variables)["params"]["kernel"] == (2, 3, 3, 3)
    assert jax.grad(lambda v: model.apply(v, X).sum())(variables) is not None


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"variable_axes": {"params": 0}}, errors.InvalidRngError, "split_rngs"),
        ({"split_rngs": {"params": True}}, errors.ScopeCollectionNotFound, "variable_axes"),
    ],
)
def test_state_that_a_transformation_leaves_outside_is_explained(arguments, error, named):
    layer = nn.vmap(nn.Dense, **arguments)(2)
    with pytest.raises(error, match=f"Inside of vmap .* its argument {named} names it"):
        layer.init(jax.random.key(0), jnp.ones((2, 3)))


def test_what_is_scanned_has_to_return_a_pair():
    class OnlyCarry(nn.Module):
        def __call__(self, carry, x):
            return carry + x

    with pytest.raises(TypeError, match=r"has to return a pair.*one array of shape \(3,\)"):
        nn.scan(OnlyCarry)().apply({}, X[0], X)


class Dropping(nn.Module):
    """Drops half of each row in a transformation, with a layer handed over or captured."""

    way: str
    split: bool = True

    @nn.compact
    def __call__(self, rows):
        drop = nn.Dropout(0.5, deterministic=False)
        other = nn.Dense(3)
        split = {"dropout": self.split}
        count = len(rows)

        def captured(_, x):
            return drop(x)

        def mapped(module, xs):
            return nn.vmap(captured, split_rngs=split)(module, xs)

        def looped(module, carry):
            i, rows = carry
            return i + 1, rows.at[i].set(drop(rows[i]))

        def step(f):
            return lambda module, carry, *xs: (carry, f(module, *xs))

        def scanned(f, module, *xs):
            return nn.scan(step(f), split_rngs=split, length=count)(module, 0.0, *xs)[1]

        match self.way:
            case "handed to scan":
                return scanned(lambda module, x: module(x), drop, rows)
            case "scan":
                return scanned(captured, self, rows)
            case "scan over another":
                return scanned(captured, other, rows)
            case "vmap":
                return mapped(self, rows)
            case "vmap in remat in scan":
                inside = nn.remat(lambda module: mapped(module, rows[:, None])[:, 0])
                return scanned(inside, self)[:, 0]
            case "scan in vmap":
                first = nn.vmap(
                    lambda module, x: scanned(lambda *_: drop(x), module),
                    split_rngs=split,
                )
                return first(self, rows)[:, 0]
            case "lifted inside":
                # The captured layer is the one that a transformation inside lifts.
                inside = nn.remat(lambda module, x: module(x))
                return scanned(lambda _, x: inside(drop, x), other, rows)
            case "while_loop":
                goes_on = lambda _, carry: carry[0] < count
                return nn.while_loop(goes_on, looped, self, (0, rows), split_rngs=split)[1]


CAPTURING = (
    "scan",
    "scan over another",
    "vmap",
    "vmap in remat in scan",
    "scan in vmap",
    "lifted inside",
    "while_loop",
)


def masks(way, split=True):
    rows = jnp.ones((6, 16))
    return Dropping(way, split).apply({}, rows, rngs={"dropout": KEY}) > 0


@pytest.mark.parametrize("way", CAPTURING)
def test_a_captured_layer_draws_what_its_step_draws(way):
    found = masks(way)
    assert len({tuple(row.tolist()) for row in found}) == len(found)


@pytest.mark.parametrize("way", CAPTURING)
def test_streams_that_are_not_split_are_the_same_for_all_steps(way):
    found = masks(way, split=False)
    assert len({tuple(row.tolist()) for row in found}) == 1


def test_a_captured_layer_draws_as_one_that_is_handed_over():
    assert_exact(masks("scan"), masks("handed to scan"))


def test_only_the_stream_that_is_split_differs_where_two_share_a_key():
    class Model(nn.Module):
        @nn.compact
        def __call__(self):
            draw = nn.vmap(
                lambda _, x: [jax.random.key_data(self.make_rng(name)) for name in "ab"],
                split_rngs={"a": True},
            )
            return draw(nn.Dense(3), jnp.zeros(4))

    a, b = Model().apply({}, rngs={"a": KEY, "b": KEY})
    assert len({tuple(row.tolist()) for row in a}) == 4
    assert len({tuple(row.tolist()) for row in b}) == 1


def test_keys_outside_are_theirs_again_after_an_error_inside():
    class Model(nn.Module):
        fails: bool

        @nn.compact
        def __call__(self):
            def body(_, x):
                raise RuntimeError("inside")

            try:
                if self.fails:
                    nn.vmap(body, split_rngs={"a": True})(nn.Dense(3), jnp.zeros(4))
            except RuntimeError:
                pass
            return jax.random.key_data(self.make_rng("a"))

    rngs = {"a": KEY}
    assert_exact(Model(True).apply({}, rngs=rngs), Model(False).apply({}, rngs=rngs))


def test_arguments_with_an_axis_of_their_own_may_come_by_keyword():
    class Sum(nn.Module):
        @nn.compact
        def __call__(self, x, y, z=None):
            return x + y

    class Step(nn.Module):
        @nn.compact
        def __call__(self, carry, x, y):
            return carry + x, x + y

    rows, row = jnp.arange(6.0).reshape(3, 2), jnp.ones(2)
    over = nn.vmap(Sum, in_axes=(0, None, None))()
    assert_exact(over.apply({}, rows, y=row), rows + row[None])
    assert_exact(over.apply({}, y=row, x=rows), rows + row[None])
    loop = nn.scan(Step, in_axes=(0, nn.broadcast))()
    carry, ys = loop.apply({}, y=row, x=rows, carry=row)
    assert_exact(carry, row + rows.sum(0))
    assert_exact(ys, rows + row[None])


def partitioned(features):
    init = nn.with_partitioning(nn.initializers.normal(), ("in", "out"))
    return nn.Dense(features, kernel_init=init, use_bias=False)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return partitioned(x.shape[-1])(x)


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({PARTITION_NAME: None}, (None, None, "in", "out")),
        ([{PARTITION_NAME: "stage"}, {PARTITION_NAME: "layer"}], ("stage", "layer", "in", "out")),
    ],
)
def test_remat_scan_tells_metadata_of_its_axes(params, names):
    layers = nn.remat_scan(Block, lengths=(2, 3), metadata_params=params)()
    variables = layers.init(KEY, X)
    kernel = variables["params"]["Dense_0"]["kernel"]
    assert kernel.names == names
    assert kernel.value.shape == (2, 3, X.shape[-1], X.shape[-1])
    plain = nn.remat_scan(Block, lengths=(2, 3), metadata_params={PARTITION_NAME: "layer"})
    assert_exact(layers.apply(variables, X), plain().apply(nn.meta.unbox(variables), X))


def test_remat_scan_counts_metadata():
    with pytest.raises(ValueError, match=r"2 loops, of the lengths \(2, 3\), but got 1 metadata"):
        nn.remat_scan(Block, lengths=(2, 3), metadata_params=[{}])().init(KEY, X)
