"""vmap, scan, axes and shardings: the same programs on Flax and on Ramie."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

flax = pytest.importorskip("flax")

from flax import nnx as theirs  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

from ramie import nnx as ours  # noqa: E402

XS = np.float32([1, 2, 4])
MODES = {
    "updates": {"graph": True, "graph_updates": True},
    "graph": {"graph": True, "graph_updates": False},
    "tree": {"graph": False},
}


def model_of(nnx, **values):
    class Model(nnx.Module):
        pass

    model = Model()
    for name, value in values.items():
        setattr(model, name, value)
    return model


def layers(nnx):
    return model_of(
        nnx, w=nnx.Param(jnp.asarray(XS)), n=nnx.BatchStat(jnp.array(1.0)), raw=jnp.asarray(XS)
    )


def plain(nnx, tree):
    """Return a tree with values in place of models and variables."""

    def values(x):
        if isinstance(x, nnx.Variable):
            return x.get_value()
        return nnx.to_pure_dict(nnx.state(x)) if isinstance(x, kinds) else x

    kinds = (nnx.Module, nnx.State, nnx.Variable)
    return jax.tree.map(values, tree, is_leaf=lambda x: isinstance(x, kinds))


# --- programs: each returns what both libraries must agree about ----------------------------------


def vmap_changes(nnx, mode):
    model = layers(nnx)

    def run(model, x):
        model.w[...] *= x
        return model.w + model.raw

    return nnx.vmap(run, **mode)(model, XS), model


def vmap_of_broadcast(nnx, mode):
    model = layers(nnx)

    def run(model, x):
        model.n[...] += 1
        return model.w * x

    return nnx.vmap(run, in_axes=(None, 0), out_axes=1, **mode)(model, XS), model


def vmap_of_trees(nnx, mode):
    run = nnx.vmap(
        lambda c, t: {"x": c["w"] * t[0], "y": nnx.Param(t[1])},
        in_axes=({"w": None, "n": 0}, (0, -1)),
        out_axes={"x": 0, "y": 1},
        **mode,
    )
    return run({"w": 3.0, "n": nnx.Param(XS)}, (XS, np.stack([XS, XS])))


def vmap_creates(nnx, mode):
    rngs = nnx.Rngs(0, noise=1)
    create = nnx.vmap(lambda rngs: nnx.Linear(2, 2, rngs=rngs), **mode)
    return nnx.split_rngs(splits=2)(create)(rngs), nnx.state(rngs, nnx.RngCount)


def vmap_batches_the_same(nnx, mode):
    def run(model, x):
        model.n[...] += x

    return nnx.vmap(run, in_axes=(None, 0), **mode)(layers(nnx), XS)


def vmap_changes_structure(nnx, mode):
    model = layers(nnx)

    def run(model):
        model.new = nnx.Intermediate(model.w * 2)
        model.size = 3

    nnx.vmap(run, in_axes=(nnx.StateAxes({nnx.BatchStat: None, ...: 0}),), **mode)(model)
    return model, model.size


def vmap_returns_arguments(nnx, mode):
    model = model_of(nnx, w=nnx.Param(jnp.asarray(XS)))
    return nnx.vmap(lambda m: m, **mode)(model) is model


def vmap_twice_with_two_axes(nnx, mode):
    w = nnx.Param(jnp.ones((3, 3)))
    return nnx.vmap(lambda a, b: None, in_axes=(0, 1), **mode)(w, w)


def vmap_returns_captured(nnx, mode):
    w = nnx.Param(jnp.ones(3))
    return nnx.vmap(lambda x: w, **mode)(XS)


def vmap_sizes(nnx, mode):
    return nnx.vmap(lambda a, b: a, **mode)(XS, XS[1:])


def vmap_without_axis(nnx, mode):
    return nnx.vmap(lambda a: a, **mode)(layers(nnx).n)


def scan_of_everything(nnx, mode):
    model = layers(nnx)

    def run(model, c, x, same):
        model.w[...] += same
        return c * model.w + x, (c, {"w": nnx.Param(model.w * x)})

    axes = (0, nnx.Carry, 0, None)
    model.n = nnx.BatchStat(jnp.asarray(XS))
    out = nnx.scan(run, in_axes=axes, out_axes=(nnx.Carry, 0), **mode)(model, 1.0, XS, 2.0)
    return out, model


def scan_carries_a_model(nnx, mode):
    model = layers(nnx)

    def run(model, x):
        model.n[...] += x
        model.raw = model.raw * model.n
        return model, model.n + x

    out, ys = nnx.scan(run, **mode)(model, XS)
    return out, ys, model, out.n is model.n, out is model


def scan_of_the_same(nnx, mode):
    model = layers(nnx)

    def run(model, x):
        model.n[...] += x
        return model.n * x

    return nnx.scan(run, in_axes=(None, 0), out_axes=0, **mode)(model, XS), model


def scan_in_reverse_over_other_axes(nnx, mode):
    run = nnx.scan(
        lambda x, c: (x, x * c, c + x),
        in_axes=(-1, nnx.Carry),
        out_axes=(1, 0, nnx.Carry),
        reverse=True,
        unroll=2,
        **mode,
    )
    return run(np.stack([XS, XS + 1]), np.zeros(2, np.float32))


def scan_creates(nnx, mode):
    rngs = nnx.Rngs(0)
    create = nnx.scan(
        lambda rngs: nnx.Param(rngs.normal((2,))), in_axes=0, out_axes=0, length=3, **mode
    )
    return nnx.split_rngs(splits=3)(create)(rngs), nnx.state(rngs, nnx.RngCount)


def scan_with_state_axes(nnx, mode):
    model = layers(nnx)
    model.raw = None
    axes = nnx.StateAxes({nnx.Param: 0, nnx.BatchStat: nnx.Carry, ...: 0})

    def run(model, c):
        model.n[...] += model.w
        model.new = nnx.Intermediate(model.n * 2)
        return c + model.n

    return nnx.scan(run, in_axes=(axes, nnx.Carry), out_axes=nnx.Carry, **mode)(model, 0.0), model


def scan_with_new_carry(nnx, mode):
    w = nnx.Param(jnp.array(1.0))
    return nnx.scan(lambda c, x: (nnx.Param(c + x), x), **mode)(w, XS)


def scan_replaces_carried_variables(nnx, mode):
    model = model_of(nnx, a=nnx.Param(jnp.array(1.0)), b=nnx.Param(jnp.array(2.0)))

    def run(model, x):
        model.a = nnx.Param(model.a + x)
        model.b[...] *= 2
        return model, x

    return nnx.scan(run, **mode)(model, XS), model


def scan_without_length(nnx, mode):
    return nnx.scan(lambda c: c, in_axes=nnx.Carry, out_axes=nnx.Carry, **mode)(1.0)


def scan_with_nested_carry(nnx, mode):
    return nnx.scan(lambda c, x: (c, x), in_axes=(nnx.Carry, {"a": nnx.Carry}), **mode)


def scan_broadcasts_output(nnx, mode):
    return nnx.scan(lambda c, x: (c, x), out_axes=(nnx.Carry, None), **mode)(1.0, XS)


def scan_changes_captured(nnx, mode):
    w = nnx.Param(jnp.array(1.0))

    def run(c, x):
        w[...] += x
        return c, x

    return nnx.scan(run, **mode)(1.0, XS)


def metadata_of_axes(nnx, mode):
    def create(x):
        return nnx.Param(x * jnp.ones(2), out_sharding=("in",), eager_sharding=False)

    graph = mode["graph"]
    named = nnx.transform_metadata(create, partition="layers", graph=graph)
    stack = nnx.vmap(named, **mode)(XS)
    run = nnx.transform_metadata(
        lambda c, w: (c + w.sum(), w.out_sharding == ("in",)),
        in_axes=(nnx.Carry, 0),
        out_axes=(nnx.Carry, 0),
        partition="layers",
        graph=graph,
    )
    out = nnx.scan(run, **mode)(0.0, stack)
    return stack, out, list(stack.out_sharding)


def specs(nnx, mode):
    w = nnx.Param(
        jnp.ones((2, 2)),
        out_sharding=("x", None),
        sharding_rules=(("x", "a"),),
        eager_sharding=False,
    )
    nnx.spmd.add_axis(w, 1, {nnx.PARTITION_NAME: "layers"})
    with nnx.logical_axis_rules((("layers", "b"),)):
        spec = nnx.get_partition_spec(nnx.State({"w": w}))["w"].get_value()
    return [*spec], list(w.out_sharding)


PROGRAMS = [
    vmap_changes,
    vmap_of_broadcast,
    vmap_of_trees,
    vmap_creates,
    vmap_batches_the_same,
    vmap_changes_structure,
    vmap_returns_arguments,
    vmap_twice_with_two_axes,
    vmap_returns_captured,
    vmap_sizes,
    vmap_without_axis,
    scan_of_everything,
    scan_carries_a_model,
    scan_of_the_same,
    scan_in_reverse_over_other_axes,
    scan_creates,
    scan_with_state_axes,
    scan_with_new_carry,
    scan_replaces_carried_variables,
    scan_without_length,
    scan_with_nested_carry,
    scan_broadcasts_output,
    scan_changes_captured,
    metadata_of_axes,
    specs,
]


def outcome(program, nnx, mode):
    try:
        return plain(nnx, program(nnx, mode)), None
    except Exception as error:
        return None, type(error).__name__


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_both_do_the_same(program, mode):
    got, our_error = outcome(program, ours, mode)
    wanted, their_error = outcome(program, theirs, mode)
    assert our_error == their_error
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        if isinstance(other, str | bool):
            assert one == other
        else:
            assert_exact(one, other)
