"""Lifted transformations of functions of a scope, against the same computation without them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import core, errors
from ramie.core import lift
from ramie.core.axes_scan import broadcast
from ramie.typing import In, Out

KEY = jax.random.key(0)


def dense(scope, x, features=2):
    w = scope.param("w", jax.nn.initializers.normal(1.0), (x.shape[-1], features))
    return x @ w


def counted(scope, x):
    calls = scope.variable("state", "calls", lambda: 0)
    calls.value += 1
    return x


# vmap ----------------------------------------------------------------------------------------


def test_vmap_gives_each_copy_its_variables():
    x = jnp.arange(12.0).reshape(4, 3)
    fn = lambda scope, x: lift.vmap(dense, {"params": 0}, {"params": True})(scope, x)
    y, variables = core.init(fn)(KEY, x)
    w = variables["params"]["w"]
    assert w.shape == (4, 3, 2)
    assert len(np.unique(w)) == w.size
    assert_close(y, jnp.stack([row @ m for row, m in zip(x, w, strict=True)]))


def test_vmap_shares_variables_without_an_axis():
    x = jnp.ones((4, 3))
    fn = lambda scope, x: lift.vmap(dense, {"params": None}, {"params": False})(scope, x)
    _, variables = core.init(fn)(KEY, x)
    assert variables["params"]["w"].shape == (3, 2)


def test_vmap_directions():
    known = {"old": {"v": jnp.arange(3.0)}}

    def copy(scope):
        scope.put_variable("new", "v", scope.get_variable("old", "v") * 2)

    fn = lambda s: lift.vmap(copy, {"old": In(0), "new": Out(0)}, {})(s)
    _, state = core.apply(fn, mutable=["old", "new"])(known)
    assert_exact(state["new"]["v"], np.arange(0, 6, 2, dtype=np.float32))
    assert_exact(state["old"]["v"], known["old"]["v"])


def test_vmap_finds_or_asks_for_its_size():
    fn = lambda scope: lift.vmap(lambda s: s.get_variable("p", "w"), {"p": 1}, {})(scope)
    assert core.apply(fn)({"p": {"w": jnp.ones((2, 5))}}).shape == (5, 2)
    with pytest.raises(ValueError, match="axis_size should be specified manually"):
        core.apply(fn)({})


def test_vmap_names_its_axis_and_takes_keywords():
    def fn(scope, x, *, scale):
        return jax.lax.psum(x * scale, "batch")

    lifted = lambda s, x: lift.vmap(fn, {}, {}, axis_name="batch")(s, x, scale=2.0)
    assert_exact(core.apply(lifted)({}, jnp.arange(3.0)), np.full(3, 6, np.float32))


# scan ----------------------------------------------------------------------------------------


@pytest.mark.optimised
def test_scan_is_a_loop_over_layers():
    def layer(scope, x):
        return jnp.tanh(dense(scope, x, 3)), x.sum()

    fn = lambda s, x: lift.scan(
        layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=4
    )(s, x)
    x = jnp.ones((2, 3))
    (y, sums), variables = core.init(fn)(KEY, x)
    again, sums_again = core.apply(fn)(variables, x)
    assert_exact(y, again)
    assert_exact(sums, sums_again)
    expected = x
    for w in variables["params"]["w"]:
        expected = jnp.tanh(expected @ w)
    assert_close(y, expected, "model")
    assert sums.shape == (4,)


def test_scan_carries_shares_and_reads_variables():
    known = {"state": {"n": jnp.float32(1)}, "fixed": {"k": 2.0}, "params": {"w": 3.0}}

    def step(scope, carry, x):
        n = scope.variable("state", "n")
        n.value = n.value * scope.get_variable("fixed", "k") + scope.get_variable("params", "w")
        return carry + x, n.value

    fn = lambda s: lift.scan(
        step, variable_carry=["state", "fixed"], variable_broadcast="params", variable_axes={}
    )(s, jnp.float32(0), jnp.arange(3.0))
    (carry, ys), state = core.apply(fn, mutable=["state"])(known)
    assert_exact(ys, np.array([5, 13, 29], np.float32))
    assert_exact(carry, np.float32(3))
    assert_exact(state["state"]["n"], np.float32(29))


def test_scan_broadcasts_what_it_makes():
    def step(scope, carry, x):
        return carry, dense(scope, x)

    fn = lambda s, xs: lift.scan(step, variable_broadcast="params", split_rngs={"params": False})(
        s, (), xs
    )
    xs = jnp.arange(6.0).reshape(3, 2)
    (_, ys), variables = core.init(fn)(KEY, xs)
    assert variables["params"]["w"].shape == (2, 2)
    assert_close(ys, xs @ variables["params"]["w"])


def test_scan_axes_of_arguments_and_keywords():
    def step(scope, carry, x, table, *, scale):
        return carry, (table[0] * scale, x)

    fn = lambda s: lift.scan(step, in_axes=(1, broadcast), out_axes=(0, -1))(
        s, (), jnp.ones((2, 3)), jnp.arange(2.0), scale=2.0
    )
    _, (first, second) = core.apply(fn)({})
    assert first.shape == (3,)
    assert second.shape == (2, 3)


def test_scan_transforms_its_data():
    def fn(scope, carry, x):
        return carry, scope.get_variable("p", "w") * x

    def halved(variables, rngs):
        return jax.tree.map(lambda w: w / 2, variables), rngs

    lifted = lambda s: lift.scan(fn, variable_axes={"p": 0}, data_transform=halved)(
        s, (), jnp.ones(3)
    )
    _, ys = core.apply(lifted)({"p": {"w": jnp.arange(3.0)}})
    assert_exact(ys, np.array([0, 0.5, 1], np.float32))


@pytest.mark.parametrize("split", [True, False])
def test_scan_splits_random_streams_or_not(split):
    fn = lambda s: lift.scan(
        lambda s, c, x: (c, jax.random.key_data(s.make_rng("noise"))),
        split_rngs={"noise": split},
        length=3,
    )(s, (), None)[1]
    keys = core.apply(fn)({}, rngs={"noise": KEY})
    assert len({tuple(key) for key in keys.tolist()}) == (3 if split else 1)


def test_scan_mistakes():
    xs = jnp.arange(2.0)
    run = lambda fn, mutable=(), **options: core.apply(
        lambda s: lift.scan(fn, **options)(s, jnp.float32(0), xs), mutable=list(mutable)
    )({})

    def made(scope, carry, x):
        scope.put_variable("state", "n", x)
        return carry, x

    with pytest.raises(TypeError, match="state/n"):
        run(made, ["state"], variable_carry="state")
    with pytest.raises(ValueError, match="data dependency"):
        run(made, ["state"], variable_broadcast="state")
    with pytest.raises(TypeError, match="carry"):
        run(lambda s, c, x: ((c, c), x))
    with pytest.raises(ValueError, match="length should be specified manually"):
        core.apply(lambda s: lift.scan(lambda s, c: (c, ()))(s, ()))({})


def test_scan_traces_once_where_nothing_random_happens():
    traces = []

    def step(scope, carry, x):
        traces.append(None)
        return carry + scope.get_variable("p", "w"), x

    fn = lambda s: lift.scan(step, variable_axes={"p": 0})(s, jnp.float32(0), jnp.ones(3))
    core.apply(fn)({"p": {"w": jnp.ones(3)}})
    assert len(traces) == 1


def test_remat_scan_nests_loops():
    fn = lambda s, x: lift.remat_scan(lambda s, x: jnp.sin(dense(s, x, 3)), (2, 3))(s, x)
    x = jnp.ones((1, 3))
    y, variables = core.init(fn)(KEY, x)
    assert variables["params"]["w"].shape == (2, 3, 3, 3)
    expected = x
    for w in variables["params"]["w"].reshape(6, 3, 3):
        expected = jnp.sin(expected @ w)
    assert_close(y, expected, "model")
    with pytest.raises(ValueError, match="at least one loop"):
        lift.remat_scan(dense, ())


def test_metadata_follows_the_axes():
    def fn(scope, x):
        init = core.meta.with_partitioning(jax.nn.initializers.ones, ("in", "out"))
        return x @ scope.param("w", init, (3, 2))

    params = {core.meta.PARTITION_NAME: "copies"}
    mapped = lambda s, x: lift.vmap(fn, {"params": -1}, {"params": True}, metadata_params=params)(
        s, x
    )
    _, variables = core.init(mapped)(KEY, jnp.ones((4, 3)))
    assert variables["params"]["w"].names == ("in", "out", "copies")
    core.apply(mapped)(variables, jnp.ones((4, 3)))
    with pytest.raises(errors.PartitioningUnspecifiedError):
        core.init(lambda s, x: lift.vmap(fn, {"params": 0}, {"params": True})(s, x))(
            KEY, jnp.ones((4, 3))
        )


def test_add_metadata_axis_changes_no_value():
    def fn(scope):
        init = core.meta.with_partitioning(jax.nn.initializers.ones, ("in",))
        assert scope.param("w", init, (3,)).shape == (3,)
        assert scope.get_variable("params", "w").names == ("in",)

    params = {core.meta.PARTITION_NAME: "copies"}
    outside = lambda s: lift.add_metadata_axis(fn, {"params": 0}, params)(s)
    _, variables = core.init(outside)(KEY)
    assert variables["params"]["w"].names == ("copies", "in")
    core.apply(outside)(variables)


# jit and remat -------------------------------------------------------------------------------


def test_jit_traces_once_for_equal_calls():
    traces = []

    @lift.jit
    def fn(scope, key, x):
        traces.append(None)
        if scope.is_mutable_collection("state"):
            counted(scope, x)
        return x * scope.get_variable("params", "w")

    variables = {"params": {"a": {"w": 2.0}, "b": {"w": 3.0}}}
    x = jnp.ones(2)
    call = lambda name, key, **options: core.apply(lambda s: fn(s.push(name), key, x), **options)(
        variables
    )
    assert float(call("a", 1)[0]) == 2
    assert float(call("b", 1)[0]) == 3
    assert len(traces) == 1
    call("a", 2)
    assert len(traces) == 2
    _, state = call("a", 1, mutable=["state"])
    assert int(state["state"]["a"]["calls"]) == 1
    assert len(traces) == 3
    call("a", 1, flags={"deep": True})
    assert len(traces) == 4


def test_jit_draws_new_numbers_at_each_call():
    fn = lift.jit(lambda scope, key: jax.random.key_data(scope.make_rng()))
    keys = core.apply(lambda s: [fn(s, 0), fn(s, 0), jax.random.key_data(s.make_rng())])(
        {}, rngs=KEY
    )
    assert len({tuple(key) for key in np.asarray(keys).tolist()}) == 3


def test_jit_static_arguments_are_not_traced():
    def fn(scope, key, x, flag, *, mode):
        assert flag is True and mode == "fast"
        return x

    lifted = lift.jit(fn, static_argnums=2, static_argnames="mode")
    assert core.apply(lambda s: lifted(s, 0, jnp.ones(()), True, mode="fast"))({}) == 1


def test_a_compiled_function_keeps_no_scope_alive():
    import gc
    import weakref

    fn = lift.jit(lambda scope, key, x: x)
    kept = []

    def outside(scope):
        kept.append(weakref.ref(scope))
        return fn(scope, 0, jnp.ones(()))

    core.apply(outside)({})
    gc.collect()
    assert kept[0]() is None


def test_remat_recomputes_and_keeps_values():
    def fn(scope, x, power):
        return jnp.sin(dense(scope, x, 3)) ** power

    lifted = functools.partial(lift.remat(fn, static_argnums=1))
    loss = lambda run: lambda v, x: core.apply(lambda s, x: run(s, x, 2).sum())(v, x)
    x = jnp.ones((1, 3))
    _, variables = core.init(lambda s, x: lifted(s, x, 2))(KEY, x)
    ours, plain = (jax.grad(loss(run))(variables, x) for run in (lifted, fn))
    assert_close(ours["params"]["w"], plain["params"]["w"])
    text = str(jax.make_jaxpr(jax.grad(loss(lifted)))(variables, x))
    assert "remat" in text or "checkpoint" in text


def test_swapped_collections():
    def fn(scope):
        scope.put_variable("b", "x", 1.0)
        return scope.get_variable("a", "x")

    known = {"a": {"x": 5.0}, "b": {"x": 6.0}}
    y, state = core.apply(lift.swap_collection(fn, "a", "b"), mutable=True)(known)
    assert y == 6.0
    assert state == {"a": {"x": 1.0}, "b": {"x": 6.0}}


def test_mapped_variables_are_read_and_written_through_the_map():
    double = lambda tree: jax.tree.map(lambda x: 2 * x, tree)
    half = lambda tree: jax.tree.map(lambda x: x / 2, tree)

    def fn(scope):
        w = scope.param("w", lambda key: jnp.float32(6))
        counted(scope, w)
        return w

    lifted = lift.map_variables(fn, "params", double, half, init=True, mutable=True)
    y, variables = core.init(lifted)(KEY)
    assert float(y) == 6
    assert float(variables["params"]["w"]) == 3
    assert variables["state"]["calls"] == 1
    y, state = core.apply(lifted, mutable=["state"])(variables)
    assert float(y) == 6
    assert state["state"]["calls"] == 2


# Control flow --------------------------------------------------------------------------------


@pytest.mark.parametrize("pred", [True, False])
def test_cond_runs_one_side(pred):
    def side(name):
        def fn(scope, x):
            scope.variable("state", name).value += 1
            return x if name == "yes" else -x

        return fn

    known = {"state": {"yes": jnp.int32(0), "no": jnp.int32(0)}}
    y, state = core.apply(
        lambda s: lift.cond(pred, side("yes"), side("no"), s, 3.0), mutable=["state"]
    )(known)
    assert float(y) == (3 if pred else -3)
    assert (int(state["state"]["yes"]), int(state["state"]["no"])) == (pred, not pred)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_switch_runs_one_branch(index):
    branches = [lambda s, x, k=k: x * k + s.get_variable("params", "w") for k in range(3)]
    y = core.apply(lambda s: lift.switch(index, branches, s, 2.0))({"params": {"w": 1.0}})
    assert float(y) == 2 * index + 1


def test_while_loop_carries_variables():
    def step(scope, carry):
        n = scope.variable("state", "n")
        n.value += scope.get_variable("params", "step")
        return carry + 1

    fn = lambda s: lift.while_loop(
        lambda s, c: s.get_variable("state", "n") < 6, step, s, 0, carry_variables="state"
    )
    known = {"state": {"n": jnp.float32(0)}, "params": {"step": 2.0}}
    carry, state = core.apply(fn, mutable=["state"])(known)
    assert int(carry) == 3
    assert float(state["state"]["n"]) == 6
    with pytest.raises(errors.ModifyScopeVariableError):
        core.apply(fn)(known)


# Differentiation -----------------------------------------------------------------------------


def product(scope, x, y):
    if scope.is_mutable_collection("state"):
        counted(scope, x)
    return scope.get_variable("params", "w") * x * y


PRODUCT = {"params": {"w": 3.0}, "state": {"calls": 0}}


def test_vjp_by_variables_and_arguments():
    def fn(scope):
        y, pullback, aux = lift.vjp(
            lambda s, x, y: (product(s, x, y), "aux"), scope, 2.0, 5.0, has_aux=True
        )
        return y, pullback(1.0), aux

    (y, (of_variables, *of_arguments), aux), state = core.apply(fn, mutable=["state"])(PRODUCT)
    assert (float(y), aux) == (30, "aux")
    assert of_variables == {"params": {"w": 10.0}}
    assert [float(t) for t in of_arguments] == [15, 6]
    assert state["state"]["calls"] == 1


def test_vjp_of_several_scopes():
    def fn(root):
        scopes = root.push("a"), root.push("b")
        both = lambda ss, x: ss[0].get_variable("params", "w") * ss[1].get_variable("params", "w")
        _, pullback = lift.vjp(both, scopes, 1.0)
        return pullback(1.0)[0]

    of_a, of_b = core.apply(fn)({"params": {"a": {"w": 3.0}, "b": {"w": 4.0}}})
    assert (of_a, of_b) == ({"params": {"w": 4.0}}, {"params": {"w": 3.0}})


def test_jvp_by_variables_and_arguments():
    run = lambda tangents: core.apply(
        lambda s: lift.jvp(product, s, (2.0, 5.0), (1.0, 0.0), tangents)
    )(PRODUCT)
    assert [float(x) for x in run({"params": {"w": 1.0}})] == [30, 25]
    assert [float(x) for x in run({})] == [30, 15]
    assert [float(x) for x in run({"params": {}})] == [30, 15]
    with pytest.raises(TypeError, match="variable_tangents"):
        run({"params": {"other": 1.0}})


def test_value_and_grad_by_arguments():
    fn = lambda s: lift.value_and_grad(product, s, 2.0, 5.0)
    (y, gradients), state = core.apply(fn, mutable=["state"])(PRODUCT)
    assert float(y) == 30
    assert [float(g) for g in gradients] == [15, 6]
    assert state["state"]["calls"] == 1
    with pytest.raises(ValueError, match=r"\[\(2,\)\]"):
        core.apply(lambda s: lift.value_and_grad(lambda s, x: x, s, jnp.ones(2)))({})
    with pytest.raises(NotImplementedError, match="reduce_axes"):
        core.apply(lambda s: lift.value_and_grad(product, s, 2.0, reduce_axes=("i",)))(PRODUCT)


def test_custom_vjp_replaces_the_derivative():
    def forward(scope, x, y):
        return product(scope, x, y), x

    def backward(x, y_t):
        return {"params": {"w": 100 * y_t}}, 10 * y_t, x * y_t

    fn = lift.custom_vjp(product, forward, backward)
    run = lambda v, x: core.apply(lambda s: fn(s, x, 5.0), mutable=["state"])(v)
    of_variables, of_x = jax.grad(lambda p, x: run({**PRODUCT, "params": p}, x)[0], (0, 1))(
        PRODUCT["params"], 2.0
    )
    assert float(of_variables["w"]) == 100
    assert float(of_x) == 10
    _, state = jax.value_and_grad(lambda x: run(PRODUCT, x), has_aux=True)(2.0)[0]
    assert state["state"]["calls"] == 1
